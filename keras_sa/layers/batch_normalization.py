"""A batch norm that shares its work with the shuffle attention behind it."""

import keras
from keras import ops

from keras_sa.layers.normalized_maps import NormalizedMaps
from keras_sa.layers.normalized_maps import sample_moments
from keras_sa.layers.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="keras_sa")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalization, which makes a `ShuffleAttention` behind it cheap.

    Put it right before a `ShuffleAttention`. In training the two layers then run as
    one: the attention takes this layer's inputs and statistics instead of its
    outputs, which nobody computes if nobody else uses them. On a CPU the pair
    takes about two thirds of the time of the two layers one after the other. That is
    done on TensorFlow, for image maps without a mask; in all other cases, and in
    inference, both layers compute what they always do.

    Arguments, weights and results are those of `keras.layers.BatchNormalization`,
    and each loads the other's weights. If `trainable=False`, the moving statistics
    are used, and the pair still runs as one.

    The gradient by the tensor between the two layers is not to be had in training,
    because the attention's output does not depend on it.

    Args:
        *args: See `keras.layers.BatchNormalization`.
        **kwargs: See `keras.layers.BatchNormalization`.

    Example:

    >>> x = images = keras.Input((32, 32, 3))
    >>> x = keras.layers.Conv2D(64, 3, use_bias=False)(x)
    >>> x = BatchNormalization(momentum=0.9)(x)
    >>> x = ShuffleAttention(groups=8)(x)
    """

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if not training or mask is not None or not self._can_share(inputs):
            return super().call(inputs, training=training, mask=mask)
        channel_axis = self.axis % 4
        first, second = (axis for axis in (1, 2, 3) if axis != channel_axis)
        axes = first, second
        means, variances = sample_moments(inputs, axes)
        dtype = means.dtype
        mean, variance = ops.cast(self.moving_mean, dtype), self.moving_variance
        variance = ops.cast(variance, dtype)
        if self.trainable:
            moving = mean, variance
            mean, variance = self.batch_moments(means, variances)
            for weight, old, new in zip(
                (self.moving_mean, self.moving_variance),
                moving,
                (mean, variance),
                strict=True,
            ):
                weight.assign(old * self.momentum + new * (1.0 - self.momentum))

        def along_channels(vector):
            shape = [1, 1, 1, 1]
            shape[channel_axis] = -1
            return ops.reshape(vector, shape)

        gain = ops.rsqrt(variance + self.epsilon)
        if self.scale:
            gain = gain * ops.cast(self.gamma, dtype)
        offset = ops.zeros_like(mean)
        if self.center:
            offset = ops.cast(self.beta, dtype)
        center, gain, offset = map(along_channels, (mean, gain, offset))
        outputs = (ops.cast(inputs, dtype) - center) * gain + offset
        outputs = ops.cast(outputs, self.compute_dtype)
        NormalizedMaps(inputs, axes, means, variances, center, gain, offset).leave_on(
            outputs
        )
        return outputs

    def batch_moments(self, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the batch.

        Args:
            means: Those of the samples' maps, `(batch, 1, 1, channels)`.
            variances: Likewise.

        Returns:
            Two `(channels,)` tensors.
        """
        axes = [axis for axis in range(4) if axis != self.axis % 4]
        mean, between = ops.moments(means, axes, synchronized=self.synchronized)
        within, _ = ops.moments(variances, axes, synchronized=self.synchronized)
        return mean, within + between

    def _can_share(self, inputs):
        return (
            keras.backend.backend() == "tensorflow"
            and isinstance(self.axis, int)
            and len(inputs.shape) == 4
            and self.axis % 4 != 0
            and not self.renorm
        )
