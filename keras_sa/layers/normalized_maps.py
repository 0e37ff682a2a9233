"""What a batch norm tells the gate behind it, and the two operations they share.

A batch norm turns maps x into `gain * (x - center) + offset`. The mean and variance
of the result in each sample follow from those of x, and those of the batch from
those of the samples. So the maps are read once for the statistics of both layers and
once for their output, forward and backward, if the compiler joins the operations in
between, as XLA does; only x is kept for the way back. Between the two operations
everything is of the shape (batch, 1, 1, channels), and is differentiated by
TensorFlow.
"""

from dataclasses import dataclass
from typing import Any

import keras

# As Keras' softmax leaves its logits on its output for the crossentropy.
ATTRIBUTE = "keras_sa_normalized_maps"


@dataclass(frozen=True)
class NormalizedMaps:
    """The output of a batch norm, before it is computed.

    All but `inputs` are at least float32 and broadcast against them.

    Args:
        inputs: Image maps, the batch norm's inputs.
        axes: The two axes of height and width.
        mean: Of each sample's inputs, `(batch, 1, 1, channels)`.
        variance: Likewise.
        center: What is subtracted, `(1, 1, 1, channels)`.
        gain: What the difference is multiplied by.
        offset: What is added.
    """

    inputs: Any
    axes: tuple[int, int]
    mean: Any
    variance: Any
    center: Any
    gain: Any
    offset: Any

    def leave_on(self, outputs) -> None:
        """Lets `left_on` find this where the batch norm's outputs arrive."""
        setattr(outputs, ATTRIBUTE, self)

    def moments(self) -> tuple[Any, Any]:
        """Mean and variance of each sample's normalized maps."""
        mean = self.gain * (self.mean - self.center) + self.offset
        return mean, keras.ops.square(self.gain) * self.variance

    def gated(self, scale, level):
        """`y * sigmoid(scale * (y - mean) + level)` of the normalized maps y.

        Args:
            scale: Of the shape of `mean`, or broadcast to it, and of its dtype.
            level: Likewise.
        """
        import tensorflow as tf

        mean, _ = self.moments()
        shape = tf.shape(mean)
        slope = tf.broadcast_to(self.gain * scale, shape)
        level = tf.broadcast_to(level, shape)
        gated = tf.custom_gradient(lambda *tensors: _gated(self.axes, *tensors))
        return gated(self.inputs, self.mean, self.gain, mean, slope, level)


def _gated(axes, inputs, mean, gain, base, slope, level):
    """`y * sigmoid(u)` and its gradient: `y` is `gain * d + base`, `u` is
    `slope * d + level`, `d` is the inputs' distance to their mean in the sample.

    Each of TensorFlow's operations reads and writes whole maps, so there are as few
    as possible: its gradients of softplus and of the sigmoid are products with a
    sigmoid and with its derivative.
    """
    import tensorflow as tf

    def maps(inputs, mean):
        distance = tf.cast(inputs, gain.dtype) - mean
        return distance, gain * distance + base, slope * distance + level

    def gradient(upstream):
        distance, y, u = maps(*_after(upstream, inputs, mean))
        gate = tf.sigmoid(u)
        by_y = upstream * gate
        by_u = tf.raw_ops.SigmoidGrad(y=gate, dy=upstream * y)
        # Of the distances: with large means, sums of products with the inputs cancel.
        by_base, by_gain = _sum(by_y, axes), _sum(by_y * distance, axes)
        by_level, by_slope = _sum(by_u, axes), _sum(by_u * distance, axes)
        return (
            tf.cast(gain * by_y + slope * by_u, inputs.dtype),
            -(gain * by_base + slope * by_level),
            tf.reduce_sum(by_gain, 0, keepdims=True),
            by_base,
            by_slope,
            by_level,
        )

    _, y, u = maps(inputs, mean)
    return tf.raw_ops.SoftplusGrad(gradients=y, features=u), gradient


def left_on(outputs) -> NormalizedMaps | None:
    """What the batch norm has left that these are the outputs of, if one has."""
    return getattr(outputs, ATTRIBUTE, None)


def sample_moments(inputs, axes: tuple[int, int]):
    """Mean and variance of each sample's maps, at least float32, with axes kept.

    Args:
        inputs: Image maps.
        axes: The two axes of height and width.
    """
    import tensorflow as tf

    dtype = keras.backend.result_type(inputs.dtype, "float32")

    @tf.custom_gradient
    def moments(inputs):
        x = tf.cast(inputs, dtype)
        mean = _mean(x, axes)
        variance = _mean(tf.math.squared_difference(x, mean), axes)

        def gradient(by_mean, by_variance):
            x, center = _after(by_variance, inputs, mean)
            x = tf.cast(x, dtype)
            shape = tf.shape(x)
            size = tf.cast(shape[axes[0]] * shape[axes[1]], dtype)
            by_inputs = (x - center) * (2 * by_variance / size) + by_mean / size
            return tf.cast(by_inputs, inputs.dtype)

        return (mean, variance), gradient

    return moments(inputs)


def _after(tensor, inputs, mean):
    """The inputs and their mean, but not before the tensor is there.

    Compilers would compute what depends on them alone on the way forward, and keep
    it. TensorFlow is kept from it by the order of its operations; XLA, which ignores
    that, by a zero that is made of the tensor. (If that holds no number, the
    gradient doesn't either.)
    """
    import tensorflow as tf

    with tf.control_dependencies([tensor]):
        inputs = tf.identity(inputs)
    value = tf.reshape(tensor, [-1])[:1]
    zero = tf.reduce_sum(tf.where(tf.equal(value, value), 0.0, float("nan")))
    return inputs, mean + tf.cast(zero, mean.dtype)


# One axis after the other, see `AttentionLayer.spatial_mean`.
def _mean(x, axes):
    import tensorflow as tf

    for axis in reversed(axes):
        x = tf.reduce_mean(x, axis, keepdims=True)
    return x


def _sum(x, axes):
    import tensorflow as tf

    for axis in reversed(axes):
        x = tf.reduce_sum(x, axis, keepdims=True)
    return x
