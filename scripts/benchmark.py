"""Measurements; every one prints what it compared, on which machine, and ratios."""

import typer

from keras_sa.scripts.benchmark_attention import attention
from keras_sa.scripts.benchmark_input import input_pipeline
from keras_sa.scripts.benchmark_layer import layer
from keras_sa.scripts.benchmark_network import network
from keras_sa.scripts.benchmark_serving import serving
from keras_sa.scripts.benchmark_strategy import strategy

app = typer.Typer(no_args_is_help=True, help="Measure speed and memory.")
app.command()(layer)
app.command()(network)
app.command()(attention)
app.command("input")(input_pipeline)
app.command()(serving)
app.command()(strategy)

if __name__ == "__main__":
    app()
