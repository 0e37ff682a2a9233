"""The measurements of `keras-sa benchmark gpu`, each in a process of its own.

Run as a module with the name of a function and its arguments as JSON; the last line
printed is the result, also as JSON.
"""

import functools
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from keras_sa.scripts.benchmarks.timing import ROUNDS
from keras_sa.scripts.benchmarks.timing import WARMUP
from keras_sa.scripts.benchmarks.timing import rounds_of

POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def train_tensorflow(
    network: str,
    precision: str,
    xla: bool,
    strategy: str | None,
    depth: int,
    batch: int,
    size: int,
    steps: int,
) -> dict:
    """Trains on synthetic images.

    Args:
        network: `"plain"`, `"sa"` or `"sa_literal"`.
        precision: A key of `POLICIES`.
        xla: Whether XLA compiles the step.
        strategy: A strategy's name, for `keras_sa.training.fit`. Without one a step
            is a `tf.function` of images that are on the device already.
        depth: Of the ResNet.
        batch: Images of a step.
        size: Height and width of the images.
        steps: Of a round.
    """
    import keras
    import tensorflow as tf

    from keras_sa.scripts.benchmarks.network_costs import build
    from keras_sa.training import make_strategy

    keras.config.set_dtype_policy(POLICIES[precision])
    attention = None if network == "plain" else network
    with make_strategy(strategy or "single").scope():
        options = {"depth": depth, "attention": attention, "weights": None}
        model = build(options, (size, size, 3))
        model.compile(
            keras.optimizers.SGD(1e-3, momentum=0.9),
            "sparse_categorical_crossentropy",
            jit_compile=False,
        )
    images = tf.random.stateless_normal((batch, size, size, 3), (0, 0))
    images = tf.cast(images, model.compute_dtype)
    labels = tf.range(batch) % 1000
    if strategy is None:
        model.optimizer.build(model.trainable_variables)

        @tf.function(jit_compile=xla)
        def step():
            return model.train_step((images, labels))["loss"]

        first, seconds = rounds_of(step, lambda loss: loss.numpy(), steps)
    else:
        first, seconds = _fit(model, images, labels, xla, steps)
    return _row(batch, seconds, first, _tensorflow_memory())


def train_torch(
    network: str,
    precision: str,
    compiled: bool,
    depth: int,
    batch: int,
    size: int,
    steps: int,
) -> dict:
    """The same training in PyTorch, with autocast and maps in channels_last.

    Args:
        network: `"plain"` or `"sa"`.
        precision: A key of `POLICIES`.
        compiled: Whether by `torch.compile`.
        depth: Of the ResNet.
        batch: Images of a step.
        size: Height and width of the images.
        steps: Of a round.
    """
    import torch

    from keras_sa.scripts.benchmarks.torch_network import resnet_on_device

    model, device = resnet_on_device(depth, attention=network == "sa")
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    scaler = torch.amp.GradScaler(device, enabled=precision == "float16")
    images = _torch_images(batch, size, device)
    labels = torch.arange(batch, device=device) % 1000

    def step():
        optimizer.zero_grad(set_to_none=True)
        with _autocast(device, precision):
            loss = torch.nn.functional.cross_entropy(run(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    first, seconds = rounds_of(step, float, steps)
    return _row(batch, seconds, first, _torch_memory())


def infer_saved_model(
    network: str,
    precision: str,
    fused: bool,
    depth: int,
    batches: list[int],
    size: int,
    steps: int,
) -> list[dict]:
    """Answers of an exported network to decoded images that are on the device.

    Args:
        network: `"plain"`, `"sa"` or `"keras"`, Keras' own ResNet50.
        precision: `"float32"` or `"float16"`.
        fused: Whether the exported network is fused.
        depth: Of the ResNet.
        batches: Images of an answer, one measurement for each.
        size: Height and width of the images.
        steps: Of a round.
    """
    import keras
    import tensorflow as tf

    from keras_sa import serving
    from keras_sa.scripts.benchmarks.network_costs import build

    shape = (size, size, 3)
    if network == "keras":
        model = keras.applications.ResNet50(weights=None, input_shape=shape)
    else:
        attention = None if network == "plain" else network
        options = {"depth": depth, "attention": attention, "weights": None}
        model = build(options, shape)
    if fused and precision != "float32":
        model, fused = serving.fuse(model, whole=True), False
    if precision != "float32":
        model = serving.with_precision(model, precision)
    with tempfile.TemporaryDirectory() as directory:
        path = serving.export(model, directory, fused=fused)
        loaded = tf.saved_model.load(str(path))
    answer = loaded.signatures["predict_images"]
    rows = []
    for batch in batches:
        images = tf.random.stateless_uniform((batch, *shape), (0, 0), 0.0, 255.0)
        first, seconds = rounds_of(
            functools.partial(answer, images=images),
            lambda result: result["probabilities"].numpy(),
            steps,
        )
        rows.append(_row(batch, seconds, first, _tensorflow_memory()))
    return rows


def infer_torch(
    network: str,
    precision: str,
    compiled: bool,
    depth: int,
    batches: list[int],
    size: int,
    steps: int,
) -> list[dict]:
    """The same in PyTorch, the network itself in 16 bits.

    Args:
        network: `"plain"` or `"sa"`.
        precision: `"float32"` or `"float16"`.
        compiled: Whether by `torch.compile`.
        depth: Of the ResNet.
        batches: Images of an answer, one measurement for each.
        size: Height and width of the images.
        steps: Of a round.
    """
    import torch

    from keras_sa.scripts.benchmarks.torch_network import resnet_on_device

    model, device = resnet_on_device(depth, attention=network == "sa")
    dtype = getattr(torch, precision)
    model = model.eval().to(dtype)
    run = torch.compile(model) if compiled else model
    rows = []
    with torch.inference_mode():
        for batch in batches:
            images = _torch_images(batch, size, device).to(dtype)
            first, seconds = rounds_of(
                functools.partial(run, images), lambda y: float(y[0, 0]), steps
            )
            rows.append(_row(batch, seconds, first, _torch_memory()))
    return rows


def _fit(model, images, labels, xla, steps):
    """Like `rounds_of`, of the steps of one epoch of `keras_sa.training.fit`."""
    import keras
    import tensorflow as tf

    from keras_sa.training import fit

    times = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch % steps == 0:
                float(logs["loss"])
                times.append(time.perf_counter())

    count = 1 + (WARMUP + ROUNDS) * steps
    data = tf.data.Dataset.from_tensors((images, labels)).repeat(count)
    start = time.perf_counter()
    fit(model, data, jit_compile=xla, verbose=0, callbacks=[Clock()])
    rounds = [(b - a) / steps for a, b in zip(times, times[1:], strict=False)]
    return times[0] - start, statistics.median(rounds[WARMUP:])


def _row(batch, seconds, first, memory):
    return {
        "batch": batch,
        "ms": 1e3 * seconds,
        "images/s": batch / seconds,
        "peak MB": memory,
        "first s": first,
    }


def _tensorflow_memory():
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return _process_memory()


def _torch_memory():
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return _process_memory()


def _process_memory():
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) / 1024


def _torch_images(batch, size, device):
    import torch

    images = torch.randn(batch, 3, size, size, device=device)
    return images.to(memory_format=torch.channels_last)


def _autocast(device, precision):
    import torch

    dtype = getattr(torch, precision)
    return torch.autocast(device, dtype, enabled=precision != "float32")


MEASUREMENTS = {
    function.__name__: function
    for function in (train_tensorflow, train_torch, infer_saved_model, infer_torch)
}

if __name__ == "__main__":
    name, arguments = sys.argv[1:]
    rows = MEASUREMENTS[name](**json.loads(arguments))
    print(json.dumps(rows if isinstance(rows, list) else [rows]))
