"""Builds the fused network, call by call."""

from collections import Counter
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_sa.serving.fusion.folding import Convolution
from keras_sa.serving.fusion.gates import ReorderChannels
from keras_sa.serving.fusion.graph import Value
from keras_sa.serving.fusion.graph import copy_layer

layers = keras.layers

# Layers with nothing to fold, which are no reason to wonder.
PLAIN = (
    layers.Add,
    layers.Conv2D,
    layers.Dense,
    layers.Flatten,
    layers.GlobalMaxPooling2D,
    layers.Rescaling,
    layers.Softmax,
)
# Layers that treat every channel alike and alone.
CHANNELWISE = (
    layers.AveragePooling2D,
    layers.MaxPooling2D,
    layers.ReLU,
    layers.ZeroPadding2D,
)
# Layers that do something in training alone.
IDLE = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.SpatialDropout2D,
    layers.AugMix,
    layers.CutMix,
    layers.MixUp,
    layers.RandAugment,
    layers.RandomBrightness,
    layers.RandomColorDegeneration,
    layers.RandomColorJitter,
    layers.RandomContrast,
    layers.RandomElasticTransform,
    layers.RandomErasing,
    layers.RandomFlip,
    layers.RandomGaussianBlur,
    layers.RandomGrayscale,
    layers.RandomHue,
    layers.RandomInvert,
    layers.RandomPerspective,
    layers.RandomPosterization,
    layers.RandomRotation,
    layers.RandomSaturation,
    layers.RandomSharpness,
    layers.RandomShear,
    layers.RandomTranslation,
    layers.RandomZoom,
)
SUFFIXES = ("_a", "_b")


@dataclass(frozen=True, eq=False)
class Halves:
    """A map whose channels are in two tensors; `order` says which is where.

    The first one may be `Scaled`.
    """

    tensors: tuple
    order: np.ndarray
    axis: int

    @property
    def channels(self):
        middle = self.tensors[0].shape[self.axis]
        return self.order[:middle], self.order[middle:]


@dataclass(frozen=True, eq=False)
class Scaled:
    """A map that waits to be multiplied with the positive gate of its channels.

    Until then, an addition and a ReLU can be made parts of the convolution that the
    map comes from: `relu(gate * x + y) = gate * relu(x + y / gate)`.
    """

    tensor: Any
    gate: Any
    name: str


@dataclass(frozen=True)
class Padded:
    """A padding that waits for a convolution to take it over."""

    layer: keras.layers.ZeroPadding2D
    source: object


class Emitter:
    """Calls fused layers in the order of a graph.

    What a value became is a Keras tensor, `Halves`, or something that waits for the
    next call: a `Convolution` or a `Padded`.

    Args:
        graph: The traced model.
        report: Takes the names of what was fused and what was not.
        rules: Pairs of a layer class and a function of the emitter and a call. It
            returns what the call's output became, or `None` to leave it as it is.
        portable: See `fuse`.
        whole: See `fuse`.
    """

    def __init__(self, graph, report, rules, portable=True, whole=False):
        self.graph = graph
        self.rules = rules
        self.portable = portable
        self.whole_maps = whole
        self.report = report
        self.emitted: dict[Value, Any] = {}
        self.names: Counter[str] = Counter()
        self.copies = {}
        self.means = {}
        outputs = keras.tree.flatten(graph.outputs)
        self.uses = Counter(
            [value for call in graph.calls for value in call.inputs] + outputs
        )

    def build(self) -> keras.Model:
        for value in keras.tree.flatten(self.graph.inputs):
            self.emitted[value] = keras.Input(
                batch_shape=value.shape, dtype=value.dtype, name=value.name
            )
        for call in self.graph.calls:
            # A subclass may compute something else: it stays as it is.
            kind = type(call.layer)
            rule = next((r for kinds, r in self.rules if kind in kinds), None)
            result = rule(self, call) if rule else None
            if result is None:
                self.keep(call)
            else:
                (value,) = call.outputs
                self.emitted[value] = result
        whole = keras.tree.map_structure(self.whole, self.graph.outputs)
        inputs = keras.tree.map_structure(self.whole, self.graph.inputs)
        return keras.Model(inputs, whole, name=self.graph.name)

    def keep(self, call):
        """Calls a layer as it is on whole maps."""
        layer = call.layer
        known = (
            *PLAIN,
            *CHANNELWISE,
            *IDLE,
            layers.Activation,
            layers.GlobalAveragePooling2D,
        )
        if not isinstance(layer, known):
            self.report.unchanged.append(layer.name)
        args, kwargs = keras.tree.map_structure(
            lambda leaf: self.whole(leaf) if isinstance(leaf, Value) else leaf,
            (call.args, call.kwargs),
        )
        results = self.copied(layer)(*args, **kwargs)
        flat = keras.tree.flatten(results)
        self.emitted.update(zip(call.outputs, flat, strict=True))

    def single(self, call):
        """What the only input of a call became."""
        return self.emitted[call.inputs[0]] if len(call.inputs) == 1 else None

    def is_only_for(self, call):
        return self.uses[call.inputs[0]] == 1

    def unique(self, name):
        self.names[name] += 1
        count = self.names[name]
        return name if count == 1 else f"{name}_{count - 1}"

    def copied(self, layer, suffix=""):
        """A copy of a layer; a shared layer remains shared."""
        key = (id(layer), suffix)
        if key not in self.copies:
            try:
                copy = copy_layer(layer, self.unique(layer.name + suffix))
            except ValueError as error:
                if not isinstance(layer, layers.Lambda):
                    raise
                # Keras' own message is of files that are loaded.
                raise ValueError(
                    f"The layer {layer.name!r} can't be copied: a `Lambda` needs a "
                    "function with `keras.saving.register_keras_serializable()`. "
                    "Without it, the network can only become a SavedModel, with "
                    "`fused=False` (`--no-fused`)."
                ) from error
            self.copies[key] = copy
        return self.copies[key]

    def ready(self, value):
        """The tensor or the halves of a value; calls what was waiting."""
        emitted = self.emitted[value]
        if isinstance(emitted, Padded):
            emitted = self.channelwise(emitted.layer, emitted.source)
        elif isinstance(emitted, Convolution):
            emitted = self.convolve(emitted)
        elif isinstance(emitted, Halves):
            tensors = tuple(self.multiplied(tensor) for tensor in emitted.tensors)
            emitted = replace(emitted, tensors=tensors)
        self.emitted[value] = emitted
        return emitted

    def multiplied(self, tensor):
        """A half as a tensor, multiplied with the gate that it waits for."""
        if not isinstance(tensor, Scaled):
            return tensor
        multiply = layers.Multiply(name=self.unique(f"{tensor.name}_gated"))
        return multiply([tensor.tensor, tensor.gate])

    def whole(self, value):
        """The tensor of a value, its halves put together."""
        emitted = self.ready(value)
        if isinstance(emitted, Halves):
            axis = emitted.axis
            name = self.unique("whole")
            joined = layers.Concatenate(axis, name=f"{name}_concat")(emitted.tensors)
            order = np.argsort(emitted.order)
            emitted = ReorderChannels(order, axis, name=f"{name}_order")(joined)
            self.emitted[value] = emitted
        return emitted

    def channelwise(self, layer, source):
        if not isinstance(source, Halves):
            return self.copied(layer)(source)
        tensors = tuple(
            self.copied(layer, suffix)(tensor)
            for suffix, tensor in zip(SUFFIXES, source.tensors, strict=True)
        )
        return Halves(tensors, source.order, source.axis)

    def convolve(self, convolution, suffix="", activation=None):
        """Calls a convolution on a tensor or on halves."""
        name = self.unique(convolution.layer.name + suffix)
        source = convolution.source
        if not isinstance(source, Halves):
            return convolution.build(name, activation)(source)
        total = layers.Add(name=self.unique(f"{name}_sum"))(
            self.addends(convolution, name)
        )
        if activation is None:
            return total
        return layers.Activation(activation, name=f"{name}_{activation}")(total)

    def addends(self, convolution, name):
        """What adds up to a convolution: one tensor, or one for each half."""
        source = convolution.source
        if not isinstance(source, Halves):
            return [convolution.build(name)(source)]
        halves = zip(source.channels, source.tensors, SUFFIXES, strict=True)
        return [
            convolution.inputs(channels, tensor).build(f"{name}{end}")(tensor)
            for channels, tensor, end in halves
        ]
