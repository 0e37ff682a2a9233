"""The layer against a literal port, on the maps of the four stages."""

from pathlib import Path
from typing import Annotated

import typer

# Height and width, channels at 224x224.
STAGES = {
    "conv2": (56, 256),
    "conv3": (28, 512),
    "conv4": (14, 1024),
    "conv5": (7, 2048),
}


def layer(
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 20,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Times ShuffleAttention, with its shuffle in the weights before it or not."""
    import tensorflow as tf

    from keras_sa.layers import ShuffleAttention
    from keras_sa.scripts.benchmarks.literal_shuffle_attention import (
        LiteralShuffleAttention,
    )
    from keras_sa.scripts.benchmarks.report import report
    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.scripts.benchmarks.timing import interleaved

    rows = []
    for stage, (size, channels) in STAGES.items():
        x = tf.random.normal((batch, size, size, channels))
        layers = {
            "pre_shuffled": ShuffleAttention(pre_shuffled=True),
            "shuffle": ShuffleAttention(),
            "literal port": LiteralShuffleAttention(),
        }
        inference = {name: _inference(attend, x) for name, attend in layers.items()}
        training = {name: _gradients(attend, x) for name, attend in layers.items()}
        for what, functions in {"inference": inference, "gradients": training}.items():
            times = interleaved(functions, repeats)
            rows += timing_rows(f"{stage} {what}", times, "literal port")
    report(f"ShuffleAttention, batch {batch}", rows, csv)


def _inference(attend, x):
    import tensorflow as tf

    function = tf.function(lambda: tf.reduce_max(attend(x)))
    return lambda: function().numpy()


def _gradients(attend, x):
    import tensorflow as tf

    @tf.function
    def function():
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = attend(x, training=True)
        return tf.reduce_max(tape.gradient(outputs, x))

    return lambda: function().numpy()


if __name__ == "__main__":
    typer.run(layer)
