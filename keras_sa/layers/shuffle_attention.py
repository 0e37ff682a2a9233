"""The shuffle attention layer of SA-Net."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.normalized_maps import left_on
from keras_sa.layers.tensor_types import DataFormat
from keras_sa.layers.tensor_types import Shape
from keras_sa.layers.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="keras_sa")
class ShuffleAttention(AttentionLayer):
    """Shuffle attention: gates per channel and per position, then a channel shuffle.

    The channels are cut into `groups` contiguous groups. In each group the first
    half is gated by its own mean over the map (channel branch), the second half by
    its own instance-normalised value at each position (spatial branch). At the end
    the two halves of all channels are interleaved, so that the next layers mix
    information between the groups.

    With `k = channels / (2 * groups)` the layer has `6 * k` weights, shared by all
    groups. Every statistic belongs to one sample and one channel, so the layer
    computes `shuffle(x * sigmoid(scale * x + shift))` with a scale and a shift of
    shape `(batch, 1, 1, channels)`: nothing is split, no tensor has more than four
    axes. There are no batch statistics, so training and inference are the same
    function. Statistics are two-pass and at least float32 under every dtype policy.
    Right behind a `keras_sa.layers.BatchNormalization` it is trained in one operation
    with it, which costs less.

    Args:
        groups: Number of groups. The number of channels must be a multiple of
            `2 * groups`. The published networks use 64; narrow ones do better with
            16 or 32.
        shuffle: Whether to interleave the channels at the end: channel `i` of the
            first half goes to `2 * i`, of the second half to `2 * i + 1`. `False`
            is the paper's SANet50B.
        epsilon: Added to the variance. The published value is 1e-5.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        pre_shuffled: Whether the channels already arrive in shuffled order. The
            shuffle is a permutation and can be built into the weights of the layer
            before; then only the gate's parameters are permuted and no map is
            moved. The networks of this package do that.
            `ShuffleAttention(pre_shuffled=True)(shuffle(x))` equals
            `ShuffleAttention()(x)`. Needs `shuffle=True`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`
        with `data_format="channels_first"`. Only `channels` must be known.

    Output shape:
        Same as the input shape.

    Raises:
        ValueError: If an argument is out of its range, the input's rank is not 4,
            or the channels are unknown or not a multiple of `2 * groups`.

    Example:

    >>> layer = ShuffleAttention(groups=4)
    >>> layer(keras.ops.ones((2, 7, 7, 32))).shape
    TensorShape([2, 7, 7, 32])

    Reference:

    - [SA-Net: Shuffle Attention for Deep Convolutional Neural Networks](
      https://arxiv.org/abs/2102.00240) (Zhang & Yang, ICASSP 2021)
    """

    def __init__(
        self,
        groups: int = 64,
        shuffle: bool = True,
        epsilon: float = 1e-5,
        data_format: DataFormat | None = None,
        *,
        pre_shuffled: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1:
            raise ValueError(
                "`groups` must be an integer of at least 1. "
                f"Received: groups={groups!r}"
            )
        if not epsilon > 0:
            raise ValueError(
                f"`epsilon` must be greater than 0. Received: epsilon={epsilon!r}"
            )
        if pre_shuffled and not shuffle:
            raise ValueError(
                "`pre_shuffled=True` says that the shuffle is in the weights before "
                "this layer, so it needs `shuffle=True`. Received: shuffle=False"
            )
        super().__init__(data_format=data_format, **kwargs)
        self.groups = groups
        self.shuffle = shuffle
        self.epsilon = epsilon
        self.pre_shuffled = pre_shuffled

    def build(self, input_shape: Shape) -> None:
        channels = self.channels_of(input_shape)
        if channels % (2 * self.groups):
            half = channels // 2
            fitting = [g for g in range(1, half + 1) if channels % (2 * g) == 0]
            raise ValueError(
                "The number of channels must be a multiple of 2 * groups. "
                f"Received: groups={self.groups} and {channels} channels "
                f"(input_shape={tuple(input_shape)}). "
                + (
                    f"With {channels} channels, groups can be one of {fitting}."
                    if fitting
                    else f"{channels} channels are odd: no number of groups fits."
                )
            )
        size = (channels // (2 * self.groups),)
        self.channel_weight = self.add_weight(
            shape=size, initializer="zeros", name="channel_weight"
        )
        self.channel_bias = self.add_weight(
            shape=size, initializer="ones", name="channel_bias"
        )
        self.spatial_weight = self.add_weight(
            shape=size, initializer="zeros", name="spatial_weight"
        )
        self.spatial_bias = self.add_weight(
            shape=size, initializer="ones", name="spatial_bias"
        )
        self.gamma = self.add_weight(shape=size, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=size, initializer="zeros", name="beta")

    def gate_parameters(self, dtype: str) -> tuple[Tensor, Tensor, Tensor]:
        """Three `(channels,)` tensors in the order in which the channels arrive.

        The gate is `sigmoid(normalised * a + mean * b + c)`, where `normalised` is
        the instance-normalised input: `a` is 0 in the channel branch, `b` is 0 in
        the spatial branch.
        """
        channel_weight, channel_bias, spatial_weight, spatial_bias, gamma, beta = (
            ops.cast(weight, dtype) for weight in self.weights
        )
        zeros = ops.zeros_like(channel_weight)
        parameters = ops.stack(
            [
                ops.concatenate([zeros, spatial_weight * gamma]),
                ops.concatenate([channel_weight, zeros]),
                ops.concatenate([channel_bias, spatial_weight * beta + spatial_bias]),
            ]
        )
        parameters = ops.tile(parameters, (1, self.groups))
        if self.pre_shuffled:
            parameters = ops.reshape(parameters, (3, 2, -1))
            parameters = ops.reshape(ops.transpose(parameters, (0, 2, 1)), (3, -1))
        return tuple(
            self.along_channels(parameter) for parameter in ops.unstack(parameters)
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        normalized = left_on(inputs) if training else None
        if normalized is not None and normalized.axes == self.spatial_axes:
            parameters = self.gate_parameters(normalized.mean.dtype)
            outputs = normalized.gated(
                *self._scale_and_level(*normalized.moments(), *parameters)
            )
        else:
            x = ops.cast(inputs, self.statistics_dtype(inputs))
            # Training keeps the input alone: the gate is computed again on the way
            # back, which costs less than to write and read its maps.
            gated = keras.remat(self._gated) if training else self._gated
            outputs = gated(x, *self.gate_parameters(x.dtype))
        outputs = ops.cast(outputs, self.compute_dtype)
        if self.shuffle and not self.pre_shuffled:
            outputs = self._interleave_halves(outputs)
        return outputs

    def gate(self, inputs: Tensor) -> Tensor:
        """The factors in 0..1 that the maps are multiplied with.

        Args:
            inputs: What the layer is called on.

        Returns:
            A tensor of the inputs' shape, at least float32, with the channels in the
            order of the layer's outputs.
        """
        x = ops.cast(inputs, self.statistics_dtype(inputs))
        gate = self._gate(x, *self.gate_parameters(x.dtype))
        if self.shuffle and not self.pre_shuffled:
            gate = self._interleave_halves(gate)
        return gate

    def _gated(self, x, a, b, c):
        return x * self._gate(x, a, b, c)

    def _gate(self, x, a, b, c):
        mean = self.spatial_mean(x)
        variance = self.spatial_mean(ops.square(x - mean))
        scale, level = self._scale_and_level(mean, variance, a, b, c)
        return ops.sigmoid(x * scale + (level - mean * scale))

    def _scale_and_level(self, mean, variance, a, b, c):
        """The gate is `sigmoid((x - mean) * scale + level)`."""
        return a * ops.rsqrt(variance + self.epsilon), mean * b + c

    def _interleave_halves(self, x):
        shape = ops.shape(x)
        channels = shape[self.channel_axis]
        if self.data_format == "channels_last":
            x = ops.reshape(x, (-1, 2, channels // 2))
            x = ops.transpose(x, (0, 2, 1))
        else:
            x = ops.reshape(x, (shape[0], 2, channels // 2, -1))
            x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, shape)

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """One for each value of the channel branch: its average, as published.

        The gate's own arithmetic is not in the published tables, and its true cost
        is the memory that is read and written, which no such count shows.
        """
        return math.prod(input_shape) // 2

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "groups": self.groups,
            "shuffle": self.shuffle,
            "epsilon": self.epsilon,
            "pre_shuffled": self.pre_shuffled,
        }
