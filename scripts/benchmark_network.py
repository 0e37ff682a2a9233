"""The networks against the same ResNet without attention and with a literal port."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

VARIANTS = {"without attention": None, "sa": "sa", "sa, literal port": "sa_literal"}
REFERENCE = "without attention"


def network(
    depth: Annotated[int, typer.Option(help="50, 101 or 152.")] = 50,
    batch: Annotated[list[int], typer.Option(help="Inference batches.")] = (1, 8),
    training_batch: Annotated[int, typer.Option(help="Batch of a step.")] = 8,
    size: Annotated[int, typer.Option(help="Height and width of the images.")] = 224,
    repeats: Annotated[int, typer.Option(help="Timed rounds.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Times inference and a training step, and takes the step's peak memory."""
    from keras_sa.scripts.benchmark_report import report
    from keras_sa.scripts.benchmark_report import timing_rows
    from keras_sa.utils.timing import interleaved

    _register_literal_port()
    rows = []
    for count in batch:
        functions = {
            name: inference(build(depth, attention, size), count, size)
            for name, attention in VARIANTS.items()
        }
        times = interleaved(functions, 3 * repeats if count == 1 else repeats)
        rows += timing_rows(f"inference, batch {count}", times, REFERENCE)
    functions = {
        name: training_step(build(depth, attention, size), training_batch, size)
        for name, attention in VARIANTS.items()
    }
    times = interleaved(functions, max(3, repeats // 2))
    rows += timing_rows(f"training step, batch {training_batch}", times, REFERENCE)
    rows += _memory_rows(depth, training_batch, size)
    report(f"ResNet-{depth}, {size}x{size}, float32", rows, csv)


def build(depth: int, attention: str | None, size: int):
    """A network with attention weights that are not at their neutral start."""
    import keras
    import numpy as np

    from keras_sa.applications import AttentionResNet

    keras.utils.set_random_seed(0)
    model = AttentionResNet(depth, attention, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if "attention" in weight.path:
            weight.assign(0.5 * rng.standard_normal(weight.shape))
    return model


def inference(model, batch: int, size: int):
    """A function that runs the compiled network on one batch."""
    import tensorflow as tf

    images = tf.random.normal((batch, size, size, 3))
    function = tf.function(lambda images: model(images, training=False))
    return lambda: function(images).numpy()


def training_step(model, batch: int, size: int):
    """A function that trains the network on one batch."""
    import keras
    import tensorflow as tf

    images = tf.random.normal((batch, size, size, 3))
    labels = tf.zeros((batch,), "int32")
    model.compile(
        keras.optimizers.SGD(1e-3, momentum=0.9),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    return lambda: model.train_on_batch(images, labels)


def _register_literal_port():
    from keras_sa.layers import attention_names
    from keras_sa.layers import register_attention
    from keras_sa.scripts.literal_shuffle_attention import LiteralShuffleAttention

    if "sa_literal" not in attention_names():
        register_attention("sa_literal", LiteralShuffleAttention)


def _memory_rows(depth, batch, size):
    """Peak memory of a process that only trains, one process for each variant."""
    peaks = {}
    for name, attention in VARIANTS.items():
        arguments = json.dumps([depth, attention, batch, size])
        output = subprocess.run(
            [sys.executable, __file__, "--peak-memory", arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        peaks[name] = int(output.split()[-1])
    return [
        {
            "measured": f"peak memory of training, batch {batch}",
            "variant": name,
            "median": f"{peak / 1024:.0f} MB",
            "minimum": "",
            "median ratio": f"{peak / peaks[REFERENCE]:.3f}",
            "ratio of minima": "",
        }
        for name, peak in peaks.items()
    ]


def _print_peak_memory(depth, attention, batch, size):
    _register_literal_port()
    step = training_step(build(depth, attention, size), batch, size)
    for _ in range(3):
        step()
    # Not `getrusage`: its maximum begins with that of the process that forked.
    status = Path("/proc/self/status").read_text()
    print(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak-memory"]:
        _print_peak_memory(*json.loads(sys.argv[2]))
    else:
        typer.run(network)
