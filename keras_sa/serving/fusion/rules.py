"""What becomes of each kind of layer when a network is fused."""

from dataclasses import replace

import keras
import numpy as np

from keras_sa.layers import BatchNormalization
from keras_sa.layers import ShuffleAttention
from keras_sa.serving.fusion.emitter import CHANNELWISE
from keras_sa.serving.fusion.emitter import IDLE
from keras_sa.serving.fusion.emitter import SUFFIXES
from keras_sa.serving.fusion.emitter import Halves
from keras_sa.serving.fusion.emitter import Padded
from keras_sa.serving.fusion.emitter import Scaled
from keras_sa.serving.fusion.folding import Convolution
from keras_sa.serving.fusion.folding import GateParameters
from keras_sa.serving.fusion.folding import batch_norm_scale_and_shift
from keras_sa.serving.fusion.gates import ChannelGate
from keras_sa.serving.fusion.gates import DivideByGate
from keras_sa.serving.fusion.gates import NormalizingSpatialGate
from keras_sa.serving.fusion.gates import SpatialGate
from keras_sa.serving.fusion.gates import TensorFlowSpatialGate
from keras_sa.serving.fusion.gates import WholeGate

layers = keras.layers
# Maps are the smaller the more channels they have. As measured on ResNet-50: halves of
# so few channels are large enough to be normalised image by image, ...
FEW_CHANNELS = 256
# ... and with so many inputs reading the weights takes longer than averaging the map.
MANY_INPUTS = 256
ELEMENTWISE_ACTIVATIONS = ("linear", "relu", "sigmoid", "silu", "tanh")


def _idle(emitter, call):
    if len(call.inputs) != 1:
        return None
    (value,), (result,) = call.inputs, call.outputs
    if value.dtype != result.dtype:
        return None
    # What waits may go on waiting, if it is for nothing else.
    alone = emitter.is_only_for(call)
    return emitter.emitted[value] if alone else emitter.ready(value)


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
    if emitter.whole_maps:
        branch = WholeGate(**_options(emitter, layer, ""), epsilon=layer.epsilon)
        gated = branch(emitter.convolve(convolution))
        branch.set_weights(gate.whole_weights)
        return gated
    channel = _channel_branch(emitter, layer, convolution, gate)
    spatial = _spatial_branch(emitter, layer, convolution, gate)
    return Halves((channel, spatial), gate.order, layer.channel_axis)


def _channel_branch(emitter, layer, convolution, gate):
    suffix = "_channel"
    convolution = convolution.outputs(gate.channel_branch)
    maps, mean = _with_mean(emitter, convolution, suffix)
    branch = ChannelGate(**_options(emitter, layer, suffix))
    scaled = Scaled(maps, branch(mean), layer.name)
    branch.set_weights(gate.channel_weights)
    # Only if the gate doesn't depend on the maps, additions can be put before it.
    return scaled if _knows_mean(convolution) else emitter.multiplied(scaled)


def _spatial_branch(emitter, layer, convolution, gate):
    suffix = "_spatial"
    convolution = convolution.outputs(gate.spatial_branch)
    options = _options(emitter, layer, suffix) | {"epsilon": layer.epsilon}
    if emitter.portable:
        branch = SpatialGate(**options)
        gated = branch(list(_with_mean(emitter, convolution, suffix)))
    elif (
        len(gate.spatial_branch) <= FEW_CHANNELS
        and layer.data_format == "channels_last"
    ):
        branch = NormalizingSpatialGate(**options)
        gated = branch(emitter.convolve(convolution, suffix))
    else:
        branch = TensorFlowSpatialGate(**options)
        gated = branch(list(_with_mean(emitter, convolution, suffix)))
    branch.set_weights(gate.spatial_weights)
    return gated


def _options(emitter, layer, suffix):
    return {
        "data_format": layer.data_format,
        "dtype": layer.dtype_policy,
        "name": emitter.unique(layer.name + suffix),
    }


def _knows_mean(convolution):
    """Whether the output's mean is best computed from the input's."""
    return (
        convolution.is_pointwise
        and not isinstance(convolution.source, Halves)
        and convolution.kernel.shape[2] < MANY_INPUTS
    )


def _with_mean(emitter, convolution, suffix):
    """A convolution's output and its mean over the map."""
    if not _knows_mean(convolution):
        maps = emitter.convolve(convolution, suffix)
        return maps, _mean(emitter, maps, convolution.layer)
    layer = convolution.build(emitter.unique(convolution.layer.name + suffix))
    source = convolution.source
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
    waiting = _waiting(emitter, call, parts)
    if waiting is not None:
        return waiting
    parts = [
        part if isinstance(part, Convolution) else emitter.ready(value)
        for value, part in zip(call.inputs, parts, strict=True)
    ]
    halves = next(part for part in parts if isinstance(part, Halves))
    # The convolutions come last: TensorFlow makes the addition, and the activation
    # behind it, a part of a convolution that is the second summand.
    parts = sorted(parts, key=lambda part: isinstance(part, Convolution))
    sides = [_halved(emitter, part, halves) for part in parts]
    tensors = tuple(
        layers.Add(name=emitter.unique(call.layer.name + suffix))(sum(addends, []))
        for suffix, addends in zip(SUFFIXES, zip(*sides, strict=True), strict=True)
    )
    return Halves(tensors, halves.order, halves.axis)


def _waiting(emitter, call, parts):
    """An addition to a half that is not yet multiplied with its gate, if it can be.

    On TensorFlow alone, and in float32: other runtimes don't make it a part of the
    convolution, and the quotient would be out of float16's range.
    """
    if emitter.portable or len(parts) != 2:
        return None
    for value, other in (call.inputs, call.inputs[::-1]):
        part, addend = emitter.emitted[value], emitter.emitted[other]
        if (
            isinstance(part, Halves)
            and isinstance(part.tensors[0], Scaled)
            and part.tensors[0].tensor.dtype == "float32"
            and emitter.uses[value] == 1
            and isinstance(addend, Halves)
        ):
            scaled, spatial = part.tensors
            first, second = emitter.ready(other).tensors
            name = call.layer.name + SUFFIXES[0]
            quotient = DivideByGate(name=emitter.unique(f"{name}_quotient"))
            add = layers.Add(name=emitter.unique(name))
            total = add([quotient([first, scaled.gate]), scaled.tensor])
            add = layers.Add(name=emitter.unique(call.layer.name + SUFFIXES[1]))
            tensors = (replace(scaled, tensor=total), add([second, spatial]))
            return replace(part, tensors=tensors)
    return None


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
    if isinstance(source, Halves) and name == "relu" and emitter.is_only_for(call):
        # A positive factor may wait until after the ReLU.
        scaled, tensor = source.tensors
        if isinstance(scaled, Scaled):
            first = emitter.copied(layer, SUFFIXES[0])(scaled.tensor)
            second = emitter.copied(layer, SUFFIXES[1])(tensor)
            return replace(source, tensors=(replace(scaled, tensor=first), second))
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
    (IDLE, _idle),
    ((layers.ZeroPadding2D,), _padding),
    ((layers.Conv2D,), _convolution),
    ((layers.BatchNormalization, BatchNormalization), _batch_norm),
    ((ShuffleAttention,), _shuffle_attention),
    ((layers.Add,), _add),
    ((layers.Activation,), _activation),
    ((layers.GlobalAveragePooling2D,), _global_average),
    (CHANNELWISE, _channelwise),
)
