"""The networks against the same ResNet without attention and with a literal port."""

from pathlib import Path
from typing import Annotated

import typer

VARIANTS = {"without attention": None, "sa": "sa", "sa, literal port": "sa_literal"}


def network(
    depth: Annotated[int, typer.Option(help="50, 101 or 152.")] = 50,
    batch: Annotated[list[int], typer.Option(min=1, help="Inference batches.")] = (
        1,
        8,
    ),
    training_batch: Annotated[int, typer.Option(min=1, help="Batch of a step.")] = 8,
    size: Annotated[
        int, typer.Option(min=1, help="Height and width of the images.")
    ] = 224,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Times inference and a training step, and takes the step's peak memory."""
    from keras_sa.scripts.benchmark_report import report
    from keras_sa.scripts.network_costs import cost_rows

    rows = cost_rows(
        {name: {"depth": depth, "attention": a} for name, a in VARIANTS.items()},
        "without attention",
        (size, size, 3),
        tuple(batch),
        training_batch,
        repeats,
    )
    report(f"ResNet-{depth}, {size}x{size}, float32", rows, csv)


if __name__ == "__main__":
    typer.run(network)
