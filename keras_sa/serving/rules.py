"""What becomes of each kind of layer when a network is fused."""

import keras
import numpy as np

from keras_sa.layers import ShuffleAttention
from keras_sa.serving.emitter import CHANNELWISE
from keras_sa.serving.emitter import SUFFIXES
from keras_sa.serving.emitter import Halves
from keras_sa.serving.emitter import Padded
from keras_sa.serving.folding import Convolution
from keras_sa.serving.folding import GateParameters
from keras_sa.serving.folding import batch_norm_scale_and_shift
from keras_sa.serving.gates import ChannelGate
from keras_sa.serving.gates import SpatialGate

layers = keras.layers
ELEMENTWISE_ACTIVATIONS = ("linear", "relu", "sigmoid", "silu", "tanh")


def _padding(emitter, call):
    if emitter.is_only_for(call):
        return Padded(call.layer, emitter.ready(call.inputs[0]))
    return emitter.channelwise(call.layer, emitter.ready(call.inputs[0]))


def _convolution(emitter, call):
    layer = call.layer
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
        pooling = layers.GlobalAveragePooling2D(
            layer.data_format,
            keepdims=True,
            dtype=layer.dtype_policy.variable_dtype,
            name=emitter.unique(f"{layer.name}_mean"),
        )
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
    ((layers.ZeroPadding2D,), _padding),
    ((layers.Conv2D,), _convolution),
    ((layers.BatchNormalization,), _batch_norm),
    ((ShuffleAttention,), _shuffle_attention),
    ((layers.Add,), _add),
    ((layers.Activation,), _activation),
    ((layers.GlobalAveragePooling2D,), _global_average),
    (CHANNELWISE, _channelwise),
)
