"""Builds the fused network, call by call."""

from collections import Counter
from dataclasses import dataclass

import keras
import numpy as np

from keras_sa.layers import ShuffleAttention
from keras_sa.serving.folding import Convolution
from keras_sa.serving.folding import GateParameters
from keras_sa.serving.folding import batch_norm_scale_and_shift
from keras_sa.serving.gates import ChannelGate
from keras_sa.serving.gates import ReorderChannels
from keras_sa.serving.gates import SpatialGate
from keras_sa.serving.graph import Value
from keras_sa.serving.graph import copy_layer

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
    layers.Dropout,
    layers.MaxPooling2D,
    layers.ReLU,
    layers.ZeroPadding2D,
)
ELEMENTWISE_ACTIVATIONS = ("linear", "relu", "sigmoid", "silu", "tanh")


@dataclass(frozen=True, eq=False)
class Halves:
    """A map whose channels are in two tensors; `order` says which is where."""

    tensors: tuple
    order: np.ndarray
    axis: int

    @property
    def channels(self):
        middle = self.tensors[0].shape[self.axis]
        return self.order[:middle], self.order[middle:]


@dataclass(frozen=True)
class Padded:
    """A padding that waits for a convolution to take it over."""

    layer: layers.ZeroPadding2D
    source: object


class Emitter:
    """Calls fused layers in the order of a graph.

    What a value became is a Keras tensor, `Halves`, or something that waits for the
    next call: a `Convolution` or a `Padded`.

    Args:
        graph: The traced model.
        report: Takes the names of what was fused and what was not.
        portable: See `fuse`.
    """

    def __init__(self, graph, report, portable=True):
        self.graph = graph
        self.portable = portable
        self.report = report
        self.emitted = {}
        self.names = Counter()
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
            rule = next((r for kind, r in RULES if isinstance(call.layer, kind)), None)
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
        known = (*PLAIN, *CHANNELWISE, layers.Activation, layers.GlobalAveragePooling2D)
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
            self.copies[key] = copy_layer(layer, self.unique(layer.name + suffix))
        return self.copies[key]

    def ready(self, value):
        """The tensor or the halves of a value; calls what was waiting."""
        emitted = self.emitted[value]
        if isinstance(emitted, Padded):
            emitted = self.channelwise(emitted.layer, emitted.source)
        elif isinstance(emitted, Convolution):
            emitted = self.convolve(emitted)
        self.emitted[value] = emitted
        return emitted

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


SUFFIXES = ("_a", "_b")


def _padding(emitter, call):
    if emitter.is_only_for(call):
        return Padded(call.layer, emitter.ready(call.inputs[0]))
    return emitter.channelwise(call.layer, emitter.ready(call.inputs[0]))


def _convolution(emitter, call):
    layer = call.layer
    if type(layer) is not layers.Conv2D:
        return None
    source = emitter.single(call)
    padding = layer.padding
    if isinstance(source, Padded) and _is_same_padding(source.layer, layer):
        source, padding = source.source, "same"
    else:
        source = emitter.ready(call.inputs[0])
    if isinstance(source, Halves) and layer.groups > 1:
        return None
    convolution = Convolution.of(layer, source, padding)
    if layer.activation is keras.activations.linear:
        return convolution
    return emitter.convolve(convolution, activation=layer.activation)


def _is_same_padding(padding, layer):
    """Whether the convolution can do it: "same" is symmetric without a stride."""
    size = [(length - 1) // 2 for length in layer.kernel_size]
    return (
        layer.padding == "valid"
        and padding.data_format == layer.data_format
        and tuple(layer.strides) == (1, 1)
        and tuple(layer.dilation_rate) == (1, 1)
        and all(length % 2 for length in layer.kernel_size)
        and [tuple(pair) for pair in padding.padding] == [(n, n) for n in size]
    )


def _batch_norm(emitter, call):
    convolution = emitter.single(call)
    if not isinstance(convolution, Convolution) or not emitter.is_only_for(call):
        return None
    if call.layer.axis not in _channel_axes(convolution.layer.data_format):
        return None
    emitter.report.batch_norms.append(call.layer.name)
    return convolution.scaled(*batch_norm_scale_and_shift(call.layer))


def _channel_axes(data_format):
    return (-1, 3) if data_format == "channels_last" else (1, -3)


def _shuffle_attention(emitter, call):
    convolution = emitter.single(call)
    layer = call.layer
    if (
        not isinstance(convolution, Convolution)
        or not emitter.is_only_for(call)
        or convolution.layer.groups > 1
        or convolution.layer.data_format != layer.data_format
    ):
        return None
    emitter.report.gates.append(layer.name)
    gate = GateParameters.of(layer)
    convolution = convolution.outputs(gate.source)
    options = {"data_format": layer.data_format, "dtype": layer.dtype_policy}
    branches = (
        ("_channel", gate.channel_branch, ChannelGate, {}, gate.channel_weights),
        (
            "_spatial",
            gate.spatial_branch,
            SpatialGate,
            {"epsilon": layer.epsilon, "portable": emitter.portable},
            gate.spatial_weights,
        ),
    )
    tensors = []
    for suffix, channels, kind, arguments, weights in branches:
        maps, mean = _with_mean(emitter, convolution.outputs(channels), suffix)
        branch = kind(**arguments, **options, name=emitter.unique(layer.name + suffix))
        tensors.append(branch([maps, mean]))
        branch.set_weights(weights)
    return Halves(tuple(tensors), gate.order, layer.channel_axis)


def _with_mean(emitter, convolution, suffix):
    """A convolution's output and its mean over the map."""
    source = convolution.source
    if not convolution.is_pointwise or isinstance(source, Halves):
        maps = emitter.convolve(convolution, suffix)
        return maps, _mean(emitter, maps, convolution.layer)
    layer = convolution.build(emitter.unique(convolution.layer.name + suffix))
    return layer(source), layer(_mean(emitter, source, convolution.layer))


def _mean(emitter, tensor, layer):
    if id(tensor) not in emitter.means:
        options = {
            "data_format": layer.data_format,
            "dtype": layer.dtype_policy.variable_dtype,
            "name": emitter.unique(f"{layer.name}_mean"),
        }
        last = layer.data_format == "channels_last"
        size = tensor.shape[1:3] if last else tensor.shape[2:4]
        if emitter.portable or None in size:
            pooling = layers.GlobalAveragePooling2D(keepdims=True, **options)
        else:
            # TensorFlow's fastest mean over a map.
            pooling = layers.AveragePooling2D(size, **options)
        # The tensor is kept, or its id could be given to another one.
        emitter.means[id(tensor)] = (pooling(tensor), tensor)
    return emitter.means[id(tensor)][0]


def _add(emitter, call):
    parts = [emitter.emitted[value] for value in call.inputs]
    halves = next((part for part in parts if isinstance(part, Halves)), None)
    if halves is None:
        return None
    for value, part in zip(call.inputs, parts, strict=True):
        is_free = isinstance(part, Convolution) and emitter.uses[value] == 1
        is_alike = isinstance(part, Halves) and np.array_equal(part.order, halves.order)
        if not is_alike and not (is_free and part.layer.groups == 1):
            return None
    # The convolutions come last: TensorFlow makes the addition, and the activation
    # behind it, a part of a convolution that is the second summand.
    parts = sorted(parts, key=lambda part: isinstance(part, Convolution))
    sides = [_halved(emitter, part, halves) for part in parts]
    tensors = tuple(
        layers.Add(name=emitter.unique(call.layer.name + suffix))(sum(addends, []))
        for suffix, addends in zip(SUFFIXES, zip(*sides, strict=True), strict=True)
    )
    return Halves(tensors, halves.order, halves.axis)


def _halved(emitter, part, halves):
    """For each half the tensors that add up to it."""
    if isinstance(part, Halves):
        return [[tensor] for tensor in part.tensors]
    return [
        emitter.addends(
            part.outputs(channels), emitter.unique(part.layer.name + suffix)
        )
        for channels, suffix in zip(halves.channels, SUFFIXES, strict=True)
    ]


def _activation(emitter, call):
    layer = call.layer
    name = getattr(layer.activation, "__name__", None)
    if name not in ELEMENTWISE_ACTIVATIONS:
        return None
    source = emitter.single(call)
    if isinstance(source, Convolution) and emitter.is_only_for(call):
        return emitter.convolve(source, activation=name)
    return emitter.channelwise(layer, emitter.ready(call.inputs[0]))


def _channelwise(emitter, call):
    return emitter.channelwise(call.layer, emitter.ready(call.inputs[0]))


def _global_average(emitter, call):
    source = emitter.ready(call.inputs[0])
    if not isinstance(source, Halves):
        return None
    pooled = emitter.channelwise(call.layer, source)
    axis = source.axis if call.layer.keepdims else -1
    return Halves(pooled.tensors, pooled.order, axis)


RULES = (
    (layers.ZeroPadding2D, _padding),
    (layers.Conv2D, _convolution),
    (layers.BatchNormalization, _batch_norm),
    (ShuffleAttention, _shuffle_attention),
    (layers.Add, _add),
    (layers.Activation, _activation),
    (layers.GlobalAveragePooling2D, _global_average),
    (CHANNELWISE, _channelwise),
)
