"""The two branches of shuffle attention as layers of their own, for inference."""

import keras
from keras import ops

from keras_sa.layers.attention_layer import AttentionLayer

# The sigmoid of this has a reciprocal that leaves room for large maps.
LOWEST = -60.0


@keras.saving.register_keras_serializable(package="keras_sa")
class ChannelGate(AttentionLayer):
    """`sigmoid(weight * mean + bias)`, what the channels are to be multiplied with.

    The mean over the map is given, because the mean of a 1x1 convolution's output is
    the convolution of its much smaller input's mean.

    Input shape:
        `(batch, 1, 1, channels)`, or `(batch, channels, 1, 1)` with
        `data_format="channels_first"`.

    Output shape:
        Same as the input shape. No value is so small that it has no reciprocal.
    """

    def build(self, input_shape):
        channels = (self.channels_of(input_shape),)
        self.weight = self.add_weight(shape=channels, name="weight")
        self.bias = self.add_weight(shape=channels, name="bias")

    def call(self, mean):
        mean = ops.cast(mean, self.statistics_dtype(mean))
        weight, bias = (
            self.along_channels(ops.cast(v, mean.dtype)) for v in self.weights
        )
        gate = ops.sigmoid(ops.maximum(mean * weight + bias, LOWEST))
        return ops.cast(gate, self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_sa")
class DivideByGate(keras.layers.Layer):
    """Maps divided by the gate of each channel.

    Call arguments:
        inputs: `[maps, gate]`, the gate as `ChannelGate` gives it.
    """

    def call(self, inputs):
        maps, gate = inputs
        return maps * ops.reciprocal(gate)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="keras_sa")
class SpatialGate(AttentionLayer):
    """`x * sigmoid(scale * normalised(x) + shift)`, normalised over the map.

    Args:
        epsilon: Added to the variance.
        **kwargs: See `AttentionLayer`.

    Call arguments:
        inputs: `[maps, mean]`, the mean with a height and width of 1.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        channels = (self.channels_of(input_shape[0]),)
        self.scale = self.add_weight(shape=channels, name="scale")
        self.shift = self.add_weight(shape=channels, name="shift")

    def call(self, inputs):
        maps, mean = inputs
        dtype = self.statistics_dtype(maps)
        x, mean = ops.cast(maps, dtype), ops.cast(mean, dtype)
        scale, shift = (self.along_channels(ops.cast(v, dtype)) for v in self.weights)
        variance = self.spatial_mean(self.square_of_difference(x, mean))
        scale = scale * ops.rsqrt(variance + self.epsilon)
        gated = self.times_sigmoid(x, x * scale + (shift - mean * scale))
        return ops.cast(gated, self.compute_dtype)

    def square_of_difference(self, x, mean):
        return ops.square(x - mean)

    def times_sigmoid(self, x, gate):
        return x * ops.sigmoid(gate)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="keras_sa")
class TensorFlowSpatialGate(SpatialGate):
    """The same in operations of TensorFlow that make fewer passes over the map."""

    def square_of_difference(self, x, mean):
        import tensorflow as tf

        return tf.math.squared_difference(x, mean)

    def times_sigmoid(self, x, gate):
        import tensorflow as tf

        # The softplus' derivative is the sigmoid.
        return tf.raw_ops.SoftplusGrad(gradients=x, features=gate)


@keras.saving.register_keras_serializable(package="keras_sa")
class NormalizingSpatialGate(TensorFlowSpatialGate):
    """The same, written so that TensorFlow normalises in one operation on a CPU.

    The operation makes one call for each image of the batch: it pays for large maps.
    It has the format channels_last.

    Call arguments:
        inputs: The maps.
    """

    def build(self, input_shape):
        super().build([input_shape])

    def call(self, maps):
        import tensorflow as tf

        dtype = self.statistics_dtype(maps)
        x = ops.cast(maps, dtype)
        scale, shift = (ops.cast(weight, dtype) for weight in self.weights)
        # Grappler looks for exactly this: both axes at once, parameters that are
        # constants and not reshaped, this order of the products.
        mean = tf.reduce_mean(x, self.spatial_axes, keepdims=True)
        square = tf.math.squared_difference(x, mean)
        variance = tf.reduce_mean(square, self.spatial_axes, keepdims=True)
        scale = tf.math.rsqrt(variance + self.epsilon) * scale
        gate = x * scale + (shift - mean * scale)
        return ops.cast(self.times_sigmoid(x, gate), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="keras_sa")
class WholeGate(TensorFlowSpatialGate):
    """Both branches in one: for GPUs, where the number of kernels counts.

    `x * sigmoid(scale * normalised(x) + weight * mean(x) + shift)`, with a scale of 0
    for the channels that their mean gates, and a weight of 0 for the others. The
    statistics are computed in float32 at least, all else in the maps' type.

    Call arguments:
        inputs: The maps.
    """

    def build(self, input_shape):
        super().build([input_shape])
        channels = (self.channels_of(input_shape),)
        self.weight = self.add_weight(shape=channels, name="weight")

    def call(self, maps):
        dtype = self.statistics_dtype(maps)
        x = ops.cast(maps, dtype)
        scale, shift, weight = (
            self.along_channels(ops.cast(v, dtype)) for v in self.weights
        )
        mean = self.spatial_mean(x)
        variance = self.spatial_mean(self.square_of_difference(x, mean))
        scale = scale * ops.rsqrt(variance + self.epsilon)
        shift = shift + mean * (weight - scale)
        scale, shift = (ops.cast(v, self.compute_dtype) for v in (scale, shift))
        return self.times_sigmoid(maps, maps * scale + shift)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="keras_sa")
class ReorderChannels(keras.layers.Layer):
    """Puts channel `order[i]` at position `i`.

    Args:
        order: A permutation of the channels.
        axis: The channels' axis.
        **kwargs: Base layer keyword arguments.
    """

    def __init__(self, order, axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.order = [int(channel) for channel in order]
        self.axis = axis

    def call(self, inputs):
        return ops.take(inputs, self.order, axis=self.axis)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "order": self.order, "axis": self.axis}
