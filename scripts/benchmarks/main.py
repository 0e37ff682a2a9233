"""Measurements; every one prints what it compared, on which machine, and ratios."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts.benchmarks.attention import attention
from keras_sa.scripts.benchmarks.detection import detection
from keras_sa.scripts.benchmarks.formats import formats
from keras_sa.scripts.benchmarks.gpu import gpu
from keras_sa.scripts.benchmarks.input import input_pipeline
from keras_sa.scripts.benchmarks.layer import layer
from keras_sa.scripts.benchmarks.network import network
from keras_sa.scripts.benchmarks.serving import serving
from keras_sa.scripts.benchmarks.strategy import strategy

app = typer.Typer(invoke_without_command=True)
app.command()(layer)
app.command()(network)
app.command()(attention)
app.command()(formats)
app.command("input")(input_pipeline)
app.command()(serving)
app.command()(gpu)
app.command()(strategy)
app.command()(detection)


@app.callback()
def benchmark(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option(help="A folder for the CSV and PNG of all runtimes.")
    ] = Path("benchmark"),
) -> None:
    """Measure speed and memory; without a command, of served networks."""
    if context.invoked_subcommand is None:
        serving(output=output)


if __name__ == "__main__":
    app()
