"""The networks against the same ResNet without attention and with a literal port."""

import typer

from keras_sa.scripts import shared_options

VARIANTS = {"without attention": None, "sa": "sa", "sa, literal port": "sa_literal"}


def network(
    depth: shared_options.Depth = 50,
    batch: shared_options.InferenceBatches = shared_options.INFERENCE_BATCHES,
    training_batch: shared_options.StepBatch = 8,
    size: shared_options.Side = 224,
    repeats: shared_options.Repeats = 10,
    csv: shared_options.Csv = None,
) -> None:
    """Times inference and a training step, and takes the step's peak memory."""
    from keras_sa.scripts.benchmarks.network_costs import cost_rows
    from keras_sa.scripts.benchmarks.report import report

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
