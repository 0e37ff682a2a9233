"""The two branches of shuffle attention as layers of their own, for inference."""

import keras
from keras import ops

from keras_sa.layers.attention_layer import AttentionLayer


@keras.saving.register_keras_serializable(package="keras_sa")
class ChannelGate(AttentionLayer):
    """Scales every channel by `sigmoid(weight * mean + bias)`.

    The mean over the map is given, because the mean of a 1x1 convolution's output is
    the convolution of its much smaller input's mean.

    Call arguments:
        inputs: `[maps, mean]`, the mean with a height and width of 1.
    """

    def build(self, input_shape):
        channels = (self.channels_of(input_shape[0]),)
        self.weight = self.add_weight(shape=channels, name="weight")
        self.bias = self.add_weight(shape=channels, name="bias")

    def call(self, inputs):
        maps, mean = inputs
        mean = ops.cast(mean, self.statistics_dtype(mean))
        weight, bias = (
            self.along_channels(ops.cast(v, mean.dtype)) for v in self.weights
        )
        return maps * ops.cast(ops.sigmoid(mean * weight + bias), maps.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="keras_sa")
class SpatialGate(AttentionLayer):
    """`x * sigmoid(scale * normalised(x) + shift)`, normalised over the map.

    Args:
        epsilon: Added to the variance.
        portable: Whether only operations are used that every backend and file format
            has. If not, TensorFlow makes fewer passes over the map.
        **kwargs: See `AttentionLayer`.

    Call arguments:
        inputs: `[maps, mean]` as for `ChannelGate`.
    """

    def __init__(self, epsilon: float = 1e-5, portable: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.portable = portable

    def build(self, input_shape):
        channels = (self.channels_of(input_shape[0]),)
        self.scale = self.add_weight(shape=channels, name="scale")
        self.shift = self.add_weight(shape=channels, name="shift")

    def call(self, inputs):
        maps, mean = inputs
        dtype = self.statistics_dtype(maps)
        x, mean = ops.cast(maps, dtype), ops.cast(mean, dtype)
        scale, shift = (self.along_channels(ops.cast(v, dtype)) for v in self.weights)
        square = ops.square(x - mean) if self.portable else _square_of(x, mean)
        variance = self.spatial_mean(square)
        scale = scale * ops.rsqrt(variance + self.epsilon)
        gate = x * scale + (shift - mean * scale)
        gated = x * ops.sigmoid(gate) if self.portable else _times_sigmoid(x, gate)
        return ops.cast(gated, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        config = {"epsilon": self.epsilon, "portable": self.portable}
        return {**super().get_config(), **config}


def _square_of(x, y):
    """`(x - y) ** 2` in one pass over the map."""
    import tensorflow as tf

    return tf.math.squared_difference(x, y)


def _times_sigmoid(x, gate):
    """`x * sigmoid(gate)` in one pass over the map."""
    import tensorflow as tf

    # The softplus' derivative is the sigmoid.
    return tf.raw_ops.SoftplusGrad(gradients=x, features=gate)


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
