"""Shuffle attention as its definition reads: what the benchmark compares with."""

import keras
from keras import ops

from keras_sa.layers import ShuffleAttention


@keras.saving.register_keras_serializable(package="keras_sa_benchmark")
class LiteralShuffleAttention(ShuffleAttention):
    """Groups in the batch, two branches split and joined, a rank-5 shuffle.

    The same weights and results as `ShuffleAttention`, channels last only.
    """

    def call(self, inputs, training=None):
        height, width, channels = inputs.shape[1:]
        x = ops.reshape(
            inputs, (-1, height, width, self.groups, channels // self.groups)
        )
        x = ops.transpose(x, (0, 3, 1, 2, 4))
        x = ops.reshape(x, (-1, height, width, channels // self.groups))
        first, second = ops.split(x, 2, axis=-1)

        mean = ops.mean(first, axis=(1, 2), keepdims=True)
        first = first * ops.sigmoid(self.channel_weight * mean + self.channel_bias)

        mean, variance = ops.moments(second, axes=(1, 2), keepdims=True)
        norm = (second - mean) * ops.rsqrt(variance + self.epsilon)
        norm = norm * self.gamma + self.beta
        second = second * ops.sigmoid(self.spatial_weight * norm + self.spatial_bias)

        x = ops.concatenate([first, second], axis=-1)
        x = ops.reshape(x, (-1, self.groups, height, width, channels // self.groups))
        x = ops.transpose(x, (0, 2, 3, 1, 4))
        x = ops.reshape(x, (-1, height, width, 2, channels // 2))
        x = ops.transpose(x, (0, 1, 2, 4, 3))
        return ops.reshape(x, (-1, height, width, channels))
