"""The attention modules against each other, in the same ResNet."""

from pathlib import Path
from typing import Annotated

import typer

REFERENCE = "none"


def attention(
    depth: Annotated[int, typer.Option(help="50, 101 or 152.")] = 50,
    module: Annotated[
        list[str] | None, typer.Option(help="Modules' names; all by default.")
    ] = None,
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
    """Times every module in one run: inference, a training step, its peak memory."""
    from keras_sa.layers import attention_names
    from keras_sa.layers import get_attention
    from keras_sa.scripts.benchmark_report import report
    from keras_sa.scripts.network_costs import cost_rows

    variants = {REFERENCE: {"depth": depth, "attention": None}}
    for name in module or attention_names():
        get_attention(name)
        variants[name] = {"depth": depth, "attention": name}
    rows = cost_rows(
        variants, REFERENCE, (size, size, 3), tuple(batch), training_batch, repeats
    )
    report(f"Attention in ResNet-{depth}, {size}x{size}, float32", rows, csv)


if __name__ == "__main__":
    typer.run(attention)
