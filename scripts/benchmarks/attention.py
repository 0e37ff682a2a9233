"""The attention modules against each other, in the same ResNet."""

from typing import Annotated

import typer

from keras_sa.scripts import shared_options

REFERENCE = "none"


def attention(
    depth: shared_options.Depth = 50,
    module: Annotated[
        list[str] | None, typer.Option(help="Modules' names; all by default.")
    ] = None,
    batch: shared_options.InferenceBatches = shared_options.INFERENCE_BATCHES,
    training_batch: shared_options.StepBatch = 8,
    size: shared_options.Side = 224,
    repeats: shared_options.Repeats = 10,
    csv: shared_options.Csv = None,
) -> None:
    """Times every module in one run: inference, a training step, its peak memory."""
    from keras_sa.layers import attention_names
    from keras_sa.layers import get_attention
    from keras_sa.scripts.benchmarks.network_costs import cost_rows
    from keras_sa.scripts.benchmarks.report import report

    variants: dict[str, dict] = {REFERENCE: {"depth": depth, "attention": None}}
    for name in module or attention_names():
        get_attention(name)
        variants[name] = {"depth": depth, "attention": name}
    rows = cost_rows(
        variants, REFERENCE, (size, size, 3), tuple(batch), training_batch, repeats
    )
    report(f"Attention in ResNet-{depth}, {size}x{size}, float32", rows, csv)


if __name__ == "__main__":
    typer.run(attention)
