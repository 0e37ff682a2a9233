"""Training on two logical devices of a CPU against training on one."""

from pathlib import Path
from typing import Annotated

import typer

REFERENCE = "1 device, plain Keras"


def strategy(
    depth: Annotated[int, typer.Option(help="50, 101 or 152.")] = 50,
    batch: Annotated[int, typer.Option(help="Images of a step, of all devices.")] = 32,
    size: Annotated[int, typer.Option(help="Height and width of the images.")] = 64,
    steps: Annotated[int, typer.Option(help="Steps of a timed round.")] = 4,
    repeats: Annotated[int, typer.Option(help="Timed rounds.")] = 8,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Times the same training, with the same global batch, on 2 replicas and on 1."""
    from keras_sa.scripts.benchmark_report import report
    from keras_sa.scripts.benchmark_report import timing_rows
    from keras_sa.training import make_strategy
    from keras_sa.utils.timing import interleaved

    # The CPU is cut into devices before anything is computed.
    mirrored = make_strategy("mirrored", replicas=2)
    single = make_strategy("single")
    contenders = {
        REFERENCE: (single, False),
        "1 device, prepared": (single, True),
        "2 replicas, plain Keras": (mirrored, False),
        "2 replicas, prepared": (mirrored, True),
    }
    functions = {
        name: _training(made, prepared, depth, batch, size, steps)
        for name, (made, prepared) in contenders.items()
    }
    times = interleaved(functions, repeats)
    rows = timing_rows(f"{steps} steps of {batch} images", times, REFERENCE)
    report(f"SA-ResNet-{depth}, {size}x{size}, float32, SGD", rows, csv)


def _training(strategy, prepared, depth, batch, size, steps):
    """A function that trains for some steps."""
    import keras
    import tensorflow as tf

    from keras_sa.applications import AttentionResNet
    from keras_sa.training import prepare

    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = AttentionResNet(depth, "sa", input_shape=(size, size, 3), classes=10)
        model.compile(
            keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy"
        )
    if prepared:
        prepare(model)
    images = tf.random.stateless_normal((batch, size, size, 3), (0, 0))
    labels = tf.range(batch) % 10
    data = tf.data.Dataset.from_tensors((images, labels)).repeat()

    def train():
        # Its end waits for the loss of the last step.
        model.fit(data, steps_per_epoch=steps, verbose=0)

    return train


if __name__ == "__main__":
    typer.run(strategy)
