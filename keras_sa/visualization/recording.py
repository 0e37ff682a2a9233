"""What the layers of a model get and give while it computes."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import keras
import numpy as np

from keras_sa import keras_hooks

# What turns logits into probabilities or their logarithms: names of activations, of
# layers and of operations.
PROBABILITIES = {
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "log_softmax": "softmax",
    "log_sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "LogSoftmax": "softmax",
    "LogSigmoid": "sigmoid",
}
_ABSENT = object()


@dataclass
class Call:
    """A layer's call, or that of another Keras operation.

    Args:
        operation: What was called.
        shape: The shape of its output, `None` if that is not one tensor.
        inputs: Its first argument, for the operations that are kept.
        output: What it returned, for the operations that are kept and for tensors
            of rank 2 or less.
        logits: What its softmax or sigmoid was applied to, if it has one.
    """

    operation: Any
    shape: tuple[int, ...] | None
    inputs: Any = None
    output: Any = None
    logits: Any = None


@dataclass
class Recording:
    """The calls of a model in their order, the inner ones of a nested model first.

    Args:
        output: What the model returned.
        calls: The calls.
    """

    output: Any = None
    calls: list[Call] = field(default_factory=list)

    def of(self, operation) -> Call:
        """The last call of an operation that was kept."""
        return next(c for c in reversed(self.calls) if c.operation is operation)

    def data_format(self, call: Call | None = None) -> str:
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

    def logits(self) -> tuple[Any, str]:
        """A classifier's logits, and the activation that makes them probabilities.

        Raises:
            ValueError: If the model is not a classifier, or if its outputs are
                probabilities and it is unknown what they were computed from.
        """
        shape = getattr(self.output, "shape", None)
        if shape is None or len(shape) != 2:
            raise ValueError(
                "`model` must have one output of the shape (batch, classes). "
                f"Received: {shape or type(self.output)}"
            )
        for call in reversed(self.calls):
            if call.logits is not None and _same(call.output, self.output):
                return call.logits, _activation(call.operation)
        values = to_float32(self.output)
        if shape[1] > 1 and (values >= 0).all() and _sum_to_one(values):
            raise ValueError(
                "The outputs of `model` are probabilities, and the layer that makes "
                "them is not known. Let it end in a layer with the activation "
                "'softmax' or 'sigmoid', in a `Softmax` layer, or in logits."
            )
        return self.output, "softmax" if shape[1] > 1 else "sigmoid"


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
    pending = {}

    def recorded_call(operation, function):
        def call(*args, **kwargs):
            output = function(*args, **kwargs)
            made = Call(operation, getattr(output, "shape", None))
            if made.shape is not None:
                made.shape = tuple(made.shape)
            if id(operation) in kept:
                made.inputs, made.output = args[0] if args else None, output
                on_output(output)
            elif made.shape is not None and len(made.shape) <= 2:
                made.output = output
            made.logits = pending.pop(id(operation), None)
            if type(operation).__name__ in PROBABILITIES and args:
                made.logits = args[0]
            recording.calls.append(made)
            return output

        return call

    def recorded_activation(operation, function):
        def activation(x, *args, **kwargs):
            pending[id(operation)] = x
            return function(x, *args, **kwargs)

        activation.__name__ = function.__name__
        return activation

    replacements = []
    for operation in keras_hooks.operations_of(model):
        replacements.append(
            (operation, "call", recorded_call(operation, operation.call))
        )
        activation = getattr(operation, "activation", None)
        if getattr(activation, "__name__", None) in PROBABILITIES:
            replacements.append(
                (operation, "activation", recorded_activation(operation, activation))
            )
    with _replaced(replacements):
        recording.output = model(images, training=False)
    return recording


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
    found, counts = [], Counter()
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name}:{counts[name]}")
    return found


def to_float32(tensor) -> np.ndarray:
    """A tensor of any floating type as an array."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def probabilities(logits, activation: str) -> np.ndarray:
    """What `Recording.logits` returned, as probabilities."""
    function = getattr(keras.ops, activation)
    return keras.ops.convert_to_numpy(function(to_float32(logits)))


@contextmanager
def _replaced(replacements):
    """Replaces attributes of objects, past Keras' tracking of them."""
    before = [
        (owner, name, vars(owner).get(name, _ABSENT)) for owner, name, _ in replacements
    ]
    try:
        for owner, name, value in replacements:
            vars(owner)[name] = value
        yield
    finally:
        for owner, name, value in before:
            if value is _ABSENT:
                vars(owner).pop(name, None)
            else:
                vars(owner)[name] = value


def _activation(operation):
    name = getattr(getattr(operation, "activation", None), "__name__", None)
    return PROBABILITIES.get(name) or PROBABILITIES[type(operation).__name__]


def _same(tensor, output):
    """Whether the output is that tensor, perhaps cast or reshaped to itself."""
    if tensor is output:
        return True
    if tensor is None or tuple(tensor.shape) != tuple(output.shape):
        return False
    # A linear layer behind the softmax makes float32 of float16.
    return np.array_equal(
        to_float32(keras.ops.cast(tensor, output.dtype)), to_float32(output)
    )


def _sum_to_one(values):
    # Half precision has three digits.
    return np.allclose(values.sum(axis=-1), 1, atol=5e-3)
