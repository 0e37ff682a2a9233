"""The layer on the maps of the four stages: alone, and behind a batch norm."""

import math
import re
from typing import Annotated

import typer

from keras_sa.scripts import shared_options

# Height and width, channels at 224x224.
STAGES = {
    "conv2": (56, 256),
    "conv3": (28, 512),
    "conv4": (14, 1024),
    "conv5": (7, 2048),
}
BATCH_NORM = "Keras' batch norm"
# Names of what other operations of a compiled module compute.
NO_KERNELS = ("parameter", "constant", "bitcast", "tuple", "get-tuple-element")


def layer(
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 8,
    repeats: shared_options.Repeats = 20,
    xla: Annotated[
        bool,
        typer.Option(
            "--xla", help="Count kernels and bytes of norm and gate; time nothing."
        ),
    ] = False,
    csv: shared_options.Csv = None,
) -> None:
    """Times ShuffleAttention: next to a literal port, and together with a batch norm.

    "norm and gate" is a batch norm's and the attention's forward and backward pass, as
    a multiple of those of Keras' batch norm alone.
    """
    import tensorflow as tf

    from keras_sa.scripts.benchmarks.report import report

    rows = []
    for stage, (size, channels) in STAGES.items():
        x = tf.random.normal((batch, size, size, channels))
        if xla:
            rows += _compiled_rows(stage, x)
        else:
            rows += _literal_port_rows(stage, x, repeats)
            rows += _norm_and_gate_rows(stage, x, repeats)
    title = "Norm and gate, compiled by XLA" if xla else "ShuffleAttention"
    report(f"{title}, batch {batch}", rows, csv)


def _literal_port_rows(stage, x, repeats):
    from keras_sa.layers import ShuffleAttention
    from keras_sa.scripts.benchmarks.literal_shuffle_attention import (
        LiteralShuffleAttention,
    )
    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.scripts.benchmarks.timing import interleaved

    layers = {
        "pre_shuffled": ShuffleAttention(pre_shuffled=True),
        "shuffle": ShuffleAttention(),
        "literal port": LiteralShuffleAttention(),
    }
    rows = []
    for what, kind in {"inference": _inference, "gradients": _gradients}.items():
        functions = {name: kind(attend, x) for name, attend in layers.items()}
        times = interleaved(functions, repeats)
        rows += timing_rows(f"{stage} {what}", times, "literal port")
    return rows


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


def _norm_and_gate_rows(stage, x, repeats):
    import tensorflow as tf

    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.scripts.benchmarks.timing import interleaved

    upstream = tf.random.normal(x.shape)
    steps = {name: tf.function(step) for name, step in _training_steps(x).items()}
    functions = {
        # A function's outputs are there when it returns, on a CPU. On a GPU the
        # smallest of them, the last gradient, has to be waited for.
        name: lambda step=step: step(x, upstream)[-1].numpy()
        for name, step in steps.items()
    }
    return timing_rows(
        f"{stage} norm and gate", interleaved(functions, repeats), BATCH_NORM
    )


def _training_steps(x):
    """Name to a function of maps and upstream gradient: output and all gradients."""
    import keras

    from keras_sa.layers import BatchNormalization
    from keras_sa.layers import ShuffleAttention

    keras_norm = keras.layers.BatchNormalization
    stacks = {
        BATCH_NORM: [keras_norm()],
        "TensorFlow's fused batch norm": [_fused_batch_norm()],
        "keras_sa's batch norm": [BatchNormalization()],
        "batch norm, then attention": [
            keras_norm(),
            ShuffleAttention(pre_shuffled=True),
        ],
        "one operation": [BatchNormalization(), ShuffleAttention(pre_shuffled=True)],
    }
    return {name: _training_step(layers, x) for name, layers in stacks.items()}


def _training_step(layers, x):
    import tensorflow as tf

    weights = []
    for each in layers:
        each.build(x.shape)
        weights += each.trainable_weights
    generator = tf.random.Generator.from_seed(0)
    for weight in weights:
        # A gate whose weights are zero might be simplified.
        weight.assign_add(0.5 * generator.normal(weight.shape))

    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = x
            for each in layers:
                outputs = each(outputs, training=True)
        return outputs, *tape.gradient(outputs, [x, *weights], upstream)

    return step


def _fused_batch_norm():
    """A batch norm by TensorFlow's kernel, which Keras 3 does not use."""
    import keras
    import tensorflow as tf

    class FusedBatchNorm(keras.layers.BatchNormalization):
        def call(self, inputs, training=None):
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon
            )
            for moving, new in (
                (self.moving_mean, mean),
                (self.moving_variance, variance),
            ):
                moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
            return outputs

    return FusedBatchNorm()


def _compiled_rows(stage, x):
    import tensorflow as tf

    map_bytes = 4 * tf.size(x).numpy()
    rows = []
    for name, step in _training_steps(x).items():
        compiled = tf.function(step, jit_compile=True)
        text = compiled.experimental_get_compiler_ir(x, x)(stage="optimized_hlo")
        kernels, accessed = _kernels_and_bytes(text)
        rows.append(
            {
                "measured": f"{stage} norm and gate",
                "variant": name,
                "kernels": str(kernels),
                "MB": f"{accessed / 1e6:.0f}",
                "maps read or written": f"{accessed / map_bytes:.1f}",
            }
        )
    return rows


def _kernels_and_bytes(text):
    """Operations of a compiled module's entry and what they read and write, in bytes.

    Args:
        text: XLA's text of the module, of float32 tensors.
    """
    computations: dict = {}
    for line in text.splitlines():
        if line.endswith("{"):
            computation = computations.setdefault(line.partition(" (")[0], {})
        elif found := re.match(r"\s*(?:ROOT )?%?(\S+) = (.+?) ([\w-]+)\((.*)", line):
            name, shapes, kind, rest = found.groups()
            operands = re.findall(r"%([\w.-]+)", rest.partition(")")[0])
            computation[name] = (_bytes(shapes), kind, operands, rest)
    entry = next(c for name, c in computations.items() if name.startswith("ENTRY"))
    kernels, accessed = 0, 0
    for written, kind, operands, rest in entry.values():
        if kind in NO_KERNELS:
            continue
        kernels += 1
        accessed += written
        called = re.search(r"calls=(%[\w.-]+)", rest)
        inside = computations.get(called and called[1], {})
        for index, operand in enumerate(operands):
            read = entry[operand][0] if operand in entry else 0
            accessed += min(read, _bytes_of_parameter(inside, index, read))
    return kernels, accessed


def _bytes_of_parameter(computation, index, size):
    """What a fusion reads of an operand: less than all if it only takes slices."""
    for name, (_, kind, _, rest) in computation.items():
        if kind == "parameter" and rest.startswith(f"{index})"):
            users = [use for use in computation.values() if name in use[2]]
            if users and all(kind == "slice" for _, kind, _, _ in users):
                return sum(written for written, _, _, _ in users)
    return size


def _bytes(shapes):
    return sum(
        4 * math.prod(map(int, filter(None, shape.split(","))))
        for shape in re.findall(r"f32\[([\d,]*)\]", shapes)
    )


if __name__ == "__main__":
    typer.run(layer)
