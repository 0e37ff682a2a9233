"""What the layers of a model get and give while it computes."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import keras
import numpy as np

from keras_sa import keras_hooks
from keras_sa.layers.tensor_types import DataFormat
from keras_sa.utils.input_scaling import as_input
from keras_sa.utils.input_scaling import integer_type

# What turns logits into probabilities or their logarithms.
PROBABILITIES = {
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "log_softmax": "softmax",
    "log_sigmoid": "sigmoid",
}


@dataclass
class Call:
    """A layer's call, or that of another Keras operation.

    Args:
        operation: What was called.
        shape: The shape of its output, empty if that is not one tensor.
        inputs: Its first argument, for the operations that are kept.
        output: What it returned, for the operations that are kept and for tensors
            of rank 2 or less.
    """

    operation: Any
    shape: tuple[int, ...]
    inputs: Any = None
    output: Any = None


@dataclass
class Activated:
    """A softmax, a sigmoid, or the logarithm of one, that was computed.

    Args:
        function: Its name, one of `PROBABILITIES`.
        logits: What it was applied to.
        output: What it gave.
    """

    function: str
    logits: Any
    output: Any


@dataclass
class Head:
    """What a classifier's outputs are.

    Args:
        logits: The logits of the recorded images.
        activation: What makes probabilities of them, `"softmax"` or `"sigmoid"`.
        function: What the model itself applies to them, one of `PROBABILITIES`, or
            `None`.
    """

    logits: Any
    activation: str
    function: str | None = None

    def probabilities(self, outputs) -> np.ndarray:
        """Outputs of the model, `(batch, classes)`, as probabilities."""
        outputs = to_float32(outputs)
        if self.function is None:
            function = getattr(keras.ops, self.activation)
            return keras.ops.convert_to_numpy(function(outputs))
        return np.exp(outputs) if self.function.startswith("log") else outputs


@dataclass
class Recording:
    """The calls of a model in their order, the inner ones of a nested model first.

    Args:
        output: What the model returned.
        calls: The calls.
        activated: What was computed of tensors of rank 2.
    """

    output: Any = None
    calls: list[Call] = field(default_factory=list)
    activated: list[Activated] = field(default_factory=list)

    def of(self, operation) -> Call:
        """The last call of an operation that was kept."""
        return next(c for c in reversed(self.calls) if c.operation is operation)

    def data_format(self, call: Call | None = None) -> DataFormat:
        """The data format of the model's input, or at a call.

        It is taken from the first layer that has one, or from the last one up to
        that call: most layers don't know theirs.
        """
        formats = []
        for each in self.calls:
            found = getattr(each.operation, "data_format", None)
            if found in ("channels_last", "channels_first"):
                formats.append(found)
            if each is call:
                formats = formats[-1:]
                break
        return formats[0] if formats else keras.config.image_data_format()

    def head(self, multi_label: bool = False) -> Head:
        """A classifier's logits and what makes them probabilities.

        Args:
            multi_label: Whether logits of several classes need a sigmoid each.

        Raises:
            ValueError: If the model is not a classifier, if its outputs are
                probabilities and it is unknown what they were computed from, or if
                it has a softmax and `multi_label` is true.
        """
        shape = getattr(self.output, "shape", None)
        if shape is None or len(shape) != 2:
            raise ValueError(
                "`model` must have one output of the shape (batch, classes). "
                f"Received: {shape or type(self.output)}"
            )
        for each in reversed(self.activated):
            if _same(each.output, self.output):
                activation = PROBABILITIES[each.function]
                if multi_label and activation == "softmax":
                    raise ValueError(
                        "The model's softmax gives one class for each image. "
                        "Received: multi_label=True"
                    )
                return Head(each.logits, activation, each.function)
        values = to_float32(self.output)
        if ((values >= 0) & (values <= 1)).all() and not self._ends_in_dense():
            raise ValueError(
                "The outputs of `model` look like probabilities, since all are in "
                "0..1, and it is not known what makes them. Let it end in Keras' own "
                "softmax or sigmoid, or in a `Dense` layer that gives logits."
            )
        one_of_all = shape[1] > 1 and not multi_label
        return Head(self.output, "softmax" if one_of_all else "sigmoid")

    def _ends_in_dense(self):
        return any(
            isinstance(call.operation, keras.layers.Dense)
            and call.operation.activation is keras.activations.linear
            and _same(call.output, self.output)
            for call in self.calls
        )


def record(
    model: keras.Model,
    images,
    keep: Collection = (),
    on_output: Callable[[Any], None] = lambda output: None,
) -> Recording:
    """Calls a model in inference mode and records the calls in it.

    It does so in the layers themselves, for the time of the call: nested, shared and
    subclassed models need nothing special. Other threads must not use the model in
    that time.

    Args:
        model: The model.
        images: Its input.
        keep: The layers whose inputs and outputs are recorded.
        on_output: Called with each of these outputs, as soon as it is there.

    Returns:
        The recording.
    """
    recording = Recording()
    kept = {id(operation) for operation in keep}

    def recorded_call(operation, function):
        def call(*args, **kwargs):
            output = function(*args, **kwargs)
            shape = getattr(output, "shape", None)
            made = Call(operation, () if shape is None else tuple(shape))
            if id(operation) in kept:
                made.inputs, made.output = args[0] if args else None, output
                on_output(output)
            elif shape is not None and len(shape) <= 2:
                made.output = output
            recording.calls.append(made)
            return output

        return call

    def recorded_function(name, function):
        def call(x, *args, **kwargs):
            output = function(x, *args, **kwargs)
            if len(output.shape) == 2:
                recording.activated.append(Activated(name, x, output))
            return output

        return call

    replacements = [
        (operation, "call", recorded_call(operation, operation.call))
        for operation in keras_hooks.operations_of(model)
    ]
    functions = keras_hooks.activation_functions()
    replacements += [
        (functions, name, recorded_function(name, getattr(functions, name)))
        for name in PROBABILITIES
    ]
    with keras_hooks.replaced(replacements):
        recording.output = model(images, training=False)
    return recording


def image_batch(model: keras.Model, images) -> np.ndarray:
    """Images as an array of the type that the model takes.

    Raises:
        ValueError: If the model has several inputs.
    """
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) > 1:
        raise ValueError(
            "`model` must have one input, the images. Received: "
            f"model={model.name!r} with the inputs {[each.name for each in inputs]}"
        )
    return np.asarray(as_input(np.asarray(images), integer_type(model)))


def batches(images: np.ndarray, size: int) -> Iterator[slice]:
    """The slices of at most `size` images.

    Raises:
        ValueError: If the images are not a batch of images.
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "`images` must be a batch of at least one image, of rank 4. "
            f"Received: shape={images.shape}"
        )
    if size < 1:
        raise ValueError(
            f"`batch_size` must be at least 1. Received: batch_size={size}"
        )
    return (slice(start, start + size) for start in range(0, len(images), size))


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with `:2`, `:3`... behind those that came before."""
    found = []
    counts: Counter[str] = Counter()
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name}:{counts[name]}")
    return found


def to_float32(tensor) -> np.ndarray:
    """A tensor of any floating type as an array."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def _same(tensor, output):
    """Whether the output is that tensor, perhaps cast or reshaped to itself."""
    if tensor is output:
        return True
    # One of another type is symbolic: it was computed inside a `tf.function`.
    if type(tensor) is not type(output) or tensor.shape != output.shape:
        return False
    # A linear layer behind the softmax makes float32 of float16.
    return np.array_equal(
        to_float32(keras.ops.cast(tensor, output.dtype)), to_float32(output)
    )
