"""Fused networks as ONNX graphs in the form that CPU runtimes run fastest.

The general converter goes through TensorFlow and leaves transposes, reshapes and the
normalisation in single operations. Here every layer is one or a few operations on
channels-first maps, and the spatial gate is an `InstanceNormalization`.
"""

from pathlib import Path

import keras
import numpy as np

from keras_sa.serving.fusion.gates import ChannelGate
from keras_sa.serving.fusion.gates import ReorderChannels
from keras_sa.serving.fusion.gates import SpatialGate
from keras_sa.serving.fusion.graph import trace
from keras_sa.utils.extras import require_extra

OPSET = 18
IR_VERSION = 9
ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "tanh": "Tanh",
}
layers = keras.layers


class UnsupportedLayerError(ValueError):
    """A layer that this writer does not know; the general converter may."""


class OnnxWriter:
    """Collects the nodes and weights of one graph."""

    def __init__(self):
        self.onnx = require_extra("onnx", "onnx")
        self.nodes = []
        self.weights = []
        self.layers = {}
        self.count = 0

    def constant(self, array) -> str:
        name = self._name("weight")
        array = np.ascontiguousarray(array)
        self.weights.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def once(self, layer, write) -> list[str]:
        """The weights of a layer, which may be called more than once."""
        if id(layer) not in self.layers:
            self.layers[id(layer)] = write(self, layer)
        return self.layers[id(layer)]

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        output = self._name(kind.lower())
        make_node = self.onnx.helper.make_node
        self.nodes.append(make_node(kind, inputs, [output], **attributes))
        return output

    def activation(self, function, x: str) -> str:
        name = getattr(function, "__name__", str(function))
        if name == "linear":
            return x
        if name not in ACTIVATIONS:
            raise UnsupportedLayerError(f"the activation {name!r}")
        axis = {"axis": -1} if name == "softmax" else {}
        return self.node(ACTIVATIONS[name], x, **axis)

    def _name(self, prefix):
        self.count += 1
        return f"{prefix}_{self.count}"


def write_onnx(model: keras.Model, path: str | Path) -> Path:
    """Writes a network of known layers as ONNX.

    Args:
        model: A channels-last model with one input of rank 4 and one output, such as
            `keras_sa.serving.fuse` returns it. Batch and image size may be unknown.
        path: The file. Its input is `images`, channels last as in Keras, its output
            `predictions`.

    Returns:
        The path.

    Raises:
        ImportError: If onnx is not installed.
        UnsupportedLayerError: If a layer is not known here.
    """
    writer = OnnxWriter()
    graph = trace(model)
    (images,) = keras.tree.flatten(graph.inputs)
    (output,) = keras.tree.flatten(graph.outputs)
    if len(images.shape) != 4:
        raise UnsupportedLayerError(f"an input of the shape {images.shape}")
    if images.dtype != "float32":
        raise UnsupportedLayerError(f"an input of {images.dtype}")
    names = {images: writer.node("Transpose", "images", perm=[0, 3, 1, 2])}
    for call in graph.calls:
        rule = next((r for kind, r in RULES if isinstance(call.layer, kind)), None)
        data_format = getattr(call.layer, "data_format", "channels_last")
        if rule is None or data_format != "channels_last":
            raise UnsupportedLayerError(f"the layer {call.layer.name!r}")
        inputs = [names[value] for value in call.inputs]
        names[call.outputs[0]] = rule(writer, call, *inputs)
    result = names[output]
    if len(output.shape) == 4:
        result = writer.node("Transpose", result, perm=[0, 2, 3, 1])
    writer.nodes.append(
        writer.onnx.helper.make_node("Identity", [result], ["predictions"])
    )
    proto = _model_proto(writer, model.name, images.shape, output.shape)
    writer.onnx.checker.check_model(proto)
    writer.onnx.save(proto, str(path))
    return Path(path)


def _model_proto(writer, name, input_shape, output_shape):
    helper, kind = writer.onnx.helper, writer.onnx.TensorProto.FLOAT

    def information(name, shape):
        axes = ("batch", "height", "width", "channels")
        shape = [axis if n is None else n for axis, n in zip(axes, shape, strict=False)]
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        writer.nodes,
        name,
        [information("images", input_shape)],
        [information("predictions", output_shape)],
        writer.weights,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def _array(variable):
    return keras.ops.convert_to_numpy(variable).astype("float32")


def _along_channels(variable):
    return _array(variable).reshape(1, -1, 1, 1)


def _convolution(writer, call, x):
    layer = call.layer
    size, strides = layer.kernel_size, layer.strides
    same = layer.padding == "same"
    if layer.padding == "causal" or (same and tuple(strides) != (1, 1)):
        # "same" with a stride pads by the image's size in TensorFlow.
        raise UnsupportedLayerError(f"the padding of {layer.name!r}")
    dilated = zip(size, layer.dilation_rate, strict=True)
    total = [(n - 1) * rate if same else 0 for n, rate in dilated]
    before = [n // 2 for n in total]
    y = writer.node(
        "Conv",
        x,
        *writer.once(layer, _convolution_weights),
        kernel_shape=list(size),
        strides=list(strides),
        dilations=list(layer.dilation_rate),
        group=layer.groups,
        pads=[*before, *(n - b for n, b in zip(total, before, strict=True))],
    )
    return writer.activation(layer.activation, y)


def _convolution_weights(writer, layer):
    weights = [writer.constant(_array(layer.kernel).transpose(3, 2, 0, 1))]
    if layer.use_bias:
        weights.append(writer.constant(_array(layer.bias)))
    return weights


def _padding(writer, call, x):
    (top, bottom), (left, right) = call.layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], "int64")
    return writer.node("Pad", x, writer.constant(pads))


def _max_pool(writer, call, x):
    layer = call.layer
    if layer.padding != "valid":
        raise UnsupportedLayerError(f"the padding of {layer.name!r}")
    return writer.node(
        "MaxPool", x, kernel_shape=list(layer.pool_size), strides=list(layer.strides)
    )


def _global_average(writer, call, x):
    y = writer.node("GlobalAveragePool", x)
    return y if call.layer.keepdims else writer.node("Flatten", y)


def _dense(writer, call, x):
    layer = call.layer
    if len(call.inputs[0].shape) != 2:
        raise UnsupportedLayerError(f"the rank of the input of {layer.name!r}")
    weights = [writer.constant(_array(layer.kernel))]
    if layer.use_bias:
        weights.append(writer.constant(_array(layer.bias)))
    return writer.activation(layer.activation, writer.node("Gemm", x, *weights))


def _add(writer, call, first, *others):
    for other in others:
        first = writer.node("Add", first, other)
    return first


def _concatenate(writer, call, *inputs):
    axis = call.layer.axis % len(call.inputs[0].shape)
    channels = len(call.inputs[0].shape) - 1
    if axis != channels:
        raise UnsupportedLayerError(f"the axis of {call.layer.name!r}")
    return writer.node("Concat", *inputs, axis=1)


def _reorder(writer, call, x):
    order = writer.constant(np.array(call.layer.order, "int64"))
    return writer.node("Gather", x, order, axis=1)


def _channel_gate(writer, call, mean):
    layer = call.layer
    weight, bias = (writer.constant(_along_channels(v)) for v in layer.weights)
    gate = writer.node("Add", writer.node("Mul", mean, weight), bias)
    return writer.node("Sigmoid", gate)


def _multiply(writer, call, first, *others):
    for other in others:
        first = writer.node("Mul", first, other)
    return first


def _spatial_gate(writer, call, maps, _mean):
    layer = call.layer
    weights = [writer.constant(_array(variable)) for variable in layer.weights]
    gate = writer.node(
        "InstanceNormalization", maps, *weights, epsilon=float(layer.epsilon)
    )
    return writer.node("Mul", maps, writer.node("Sigmoid", gate))


RULES = (
    (layers.Conv2D, _convolution),
    (layers.ZeroPadding2D, _padding),
    (layers.MaxPooling2D, _max_pool),
    (layers.GlobalAveragePooling2D, _global_average),
    (layers.Dense, _dense),
    (layers.Add, _add),
    (layers.Multiply, _multiply),
    (layers.Concatenate, _concatenate),
    (layers.Activation, lambda w, call, x: w.activation(call.layer.activation, x)),
    (layers.Dropout, lambda w, call, x: x),
    (ReorderChannels, _reorder),
    (ChannelGate, _channel_gate),
    (SpatialGate, _spatial_gate),
)
