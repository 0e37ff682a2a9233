"""What a network costs: time of inference and training, peak memory of training."""

import json
import re
import subprocess
import sys
from pathlib import Path

LITERAL_PORT = "sa_literal"


def cost_rows(
    variants: dict[str, dict],
    reference: str,
    shape: tuple[int, int, int],
    inference_batches: tuple[int, ...] = (1, 8),
    training_batch: int = 8,
    repeats: int = 10,
) -> list[dict[str, str]]:
    """Measures networks side by side.

    Args:
        variants: Name to the keyword arguments of `AttentionResNet`.
        reference: The name that the others are divided by.
        shape: Height, width and channels of the images.
        inference_batches: Images of a prediction.
        training_batch: Images of a training step.
        repeats: Rounds of the larger batches.

    Returns:
        Rows for `benchmark_report.report`.
    """
    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.scripts.benchmarks.timing import interleaved

    rows = []
    models = {name: build(options, shape) for name, options in variants.items()}
    for count in inference_batches:
        functions = {
            name: inference(model, count, shape) for name, model in models.items()
        }
        times = interleaved(functions, 3 * repeats if count == 1 else repeats)
        rows += timing_rows(f"inference, batch {count}", times, reference)
    functions = {
        name: training_step(model, training_batch, shape)
        for name, model in models.items()
    }
    times = interleaved(functions, max(3, repeats // 2))
    rows += timing_rows(f"training step, batch {training_batch}", times, reference)
    peaks = {
        name: _peak_memory(options, shape, training_batch)
        for name, options in variants.items()
    }
    return rows + [
        {
            "measured": f"peak memory of training, batch {training_batch}",
            "variant": name,
            "median": f"{peak / 1024:.0f} MB",
            "minimum": "",
            "median ratio": f"{peak / peaks[reference]:.3f}",
            "ratio of minima": "",
        }
        for name, peak in peaks.items()
    ]


def build(options: dict, shape: tuple[int, int, int]):
    """A network whose weights are as if trained: none is at its neutral start.

    A bias of zero, for one, would be folded away where a network is exported.
    """
    import keras
    import numpy as np

    from keras_sa.applications import AttentionResNet
    from keras_sa.study import register_ablations

    register_ablations()
    if options.get("attention") == LITERAL_PORT:
        _register_literal_port()
    keras.utils.set_random_seed(0)
    model = AttentionResNet(input_shape=tuple(shape), **options)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        noise = rng.standard_normal(weight.shape)
        if weight.path.endswith("moving_variance"):
            weight.assign(np.exp(0.2 * noise))
        elif "attention" in weight.path:
            weight.assign(0.5 * noise)
        elif weight.path.endswith(("/gamma", "/beta", "/moving_mean")):
            weight.assign(weight + 0.1 * noise)
    return model


def inference(model, batch: int, shape: tuple[int, int, int]):
    """A function that runs the compiled network on one batch."""
    import tensorflow as tf

    images = tf.random.normal((batch, *shape))
    function = tf.function(lambda images: model(images, training=False))
    return lambda: function(images).numpy()


def training_step(model, batch: int, shape: tuple[int, int, int]):
    """A function that trains the network on one batch."""
    import keras
    import tensorflow as tf

    images = tf.random.normal((batch, *shape))
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
    from keras_sa.scripts.benchmarks.literal_shuffle_attention import (
        LiteralShuffleAttention,
    )

    if LITERAL_PORT not in attention_names():
        register_attention(LITERAL_PORT, LiteralShuffleAttention)


def _peak_memory(options, shape, batch):
    """Peak memory in kB of a process that only trains this network."""
    command = [sys.executable, __file__, json.dumps([options, shape, batch])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1])


def _print_peak_memory(options, shape, batch):
    step = training_step(build(options, shape), batch, shape)
    for _ in range(3):
        step()
    # Not `getrusage`: its maximum begins with that of the process that forked.
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    print(kilobytes)


if __name__ == "__main__":
    _print_peak_memory(*json.loads(sys.argv[1]))
