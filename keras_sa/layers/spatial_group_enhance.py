"""The spatial group-wise enhance layer of SGE-Net."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_sa.layers.arguments import check_positive_integer
from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.tensor_types import DataFormat
from keras_sa.layers.tensor_types import Shape
from keras_sa.layers.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="keras_sa")
class SpatialGroupEnhance(AttentionLayer):
    """Spatial group-wise enhance: a gate per group and position.

    The channels are cut into `groups` contiguous groups. A position's similarity is
    the product of its vector of channels with the group's mean vector over the map.
    The similarities of a map are standardised (divided by their unbiased standard
    deviation plus `epsilon`), scaled by gamma and shifted by beta, and their sigmoid
    gates the group's channels. A map of one position has the standardised value 0.

    There are `2 * groups` weights and no batch statistics. Statistics are taken in
    at least float32.

    Args:
        groups: Number of groups. The number of channels must be a multiple of it.
            The published networks use 64.
        epsilon: Added to the standard deviation. The published value is 1e-5.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`
        with `data_format="channels_first"`. Only `channels` must be known.

    Output shape:
        Same as the input shape.

    Raises:
        ValueError: If an argument is out of its range, the input's rank is not 4,
            or the channels are unknown or not a multiple of `groups`.

    Example:

    >>> layer = SpatialGroupEnhance(groups=8)
    >>> layer(keras.ops.ones((2, 7, 7, 32))).shape
    TensorShape([2, 7, 7, 32])

    Reference:

    - [Spatial Group-wise Enhance: Improving Semantic Feature Learning in
      Convolutional Networks](https://arxiv.org/abs/1905.09646) (Li et al., 2019)
    """

    def __init__(
        self,
        groups: int = 64,
        epsilon: float = 1e-5,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive_integer("groups", groups)
        if not epsilon > 0:
            raise ValueError(
                f"`epsilon` must be greater than 0. Received: epsilon={epsilon!r}"
            )
        super().__init__(data_format=data_format, **kwargs)
        self.groups = groups
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        channels = self.channels_of(input_shape)
        if channels % self.groups:
            fitting = [g for g in range(1, channels + 1) if channels % g == 0]
            raise ValueError(
                "The number of channels must be a multiple of groups. "
                f"Received: groups={self.groups} and {channels} channels "
                f"(input_shape={tuple(input_shape)}). "
                f"With {channels} channels, groups can be one of {fitting}."
            )
        self.gamma = self.add_weight(
            shape=(self.groups,), initializer="zeros", name="gamma"
        )
        self.beta = self.add_weight(
            shape=(self.groups,), initializer="ones", name="beta"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return self.gated(inputs, self.gate(inputs))

    def gate(self, inputs: Tensor) -> Tensor:
        """The factors that the maps are multiplied with.

        Args:
            inputs: What the layer is called on.

        Returns:
            A tensor of the inputs' shape, at least float32.
        """
        x = ops.cast(inputs, self.statistics_dtype(inputs))
        similarity = self._sum_of_groups(x * self.spatial_mean(x))
        centred = similarity - self.spatial_mean(similarity)
        height, width = (ops.shape(x)[axis] for axis in self.spatial_axes)
        count = ops.cast(height * width, x.dtype)
        variance = self.spatial_mean(ops.square(centred))
        variance = variance * (count / ops.maximum(count - 1, 1))
        # The root of 0 has no finite gradient.
        deviation = ops.sqrt(ops.maximum(variance, 1e-20)) + self.epsilon
        gamma, beta = (
            self.along_channels(ops.cast(weight, x.dtype)) for weight in self.weights
        )
        gate = ops.sigmoid(centred / deviation * gamma + beta)
        size = x.shape[self.channel_axis] // self.groups
        return ops.repeat(gate, size, axis=self.channel_axis)

    def _sum_of_groups(self, x):
        """From all channels to one for each group."""
        shape = ops.shape(x)
        if self.data_format == "channels_last":
            grouped = ops.reshape(
                x, (shape[0], -1, self.groups, x.shape[-1] // self.groups)
            )
            return ops.reshape(ops.sum(grouped, -1), (*shape[:3], self.groups))
        grouped = ops.reshape(x, (shape[0], self.groups, x.shape[1] // self.groups, -1))
        return ops.reshape(ops.sum(grouped, 2), (shape[0], self.groups, *shape[2:]))

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """The average alone: products of maps and sigmoids are not counted."""
        return math.prod(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "groups": self.groups,
            "epsilon": self.epsilon,
        }
