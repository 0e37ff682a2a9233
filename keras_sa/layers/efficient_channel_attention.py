"""The efficient channel attention layer of ECA-Net."""

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
class EfficientChannelAttention(AttentionLayer):
    """Efficient channel attention: a gate per channel from its neighbours' means.

    `x * sigmoid(convolution(mean(x)))`: the mean is over the map, the 1-D
    convolution runs over the channels, without bias and with zeros beyond the first
    and the last channel. The gate is computed in at least float32.

    Args:
        kernel_size: How many channels a gate looks at, an odd number. `None` follows
            the paper: the odd number at or next above `(log2(channels) + 1) / 2`.
            The released ResNets have other sizes in some stages; `AttentionResNet`
            knows them.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`
        with `data_format="channels_first"`. Only `channels` must be known.

    Output shape:
        Same as the input shape.

    Raises:
        ValueError: If an argument is out of its range, the input's rank is not 4 or
            the channels are unknown.

    Example:

    >>> layer = EfficientChannelAttention()
    >>> layer(keras.ops.ones((2, 7, 7, 32))).shape
    TensorShape([2, 7, 7, 32])

    Reference:

    - [ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks](
      https://arxiv.org/abs/1910.03151) (Wang et al., CVPR 2020)
    """

    def __init__(
        self,
        kernel_size: int | None = None,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        if kernel_size is not None:
            check_positive_integer("kernel_size", kernel_size, odd=True)
        super().__init__(data_format=data_format, **kwargs)
        self.kernel_size = kernel_size

    def build(self, input_shape: Shape) -> None:
        channels = self.channels_of(input_shape)
        size = self.kernel_size or _adaptive_size(channels)
        self.kernel = self.add_weight(
            shape=(size, 1, 1), initializer="glorot_uniform", name="kernel"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return self.gated(inputs, self.gate(inputs))

    def gate(self, inputs: Tensor) -> Tensor:
        """The factors that the maps are multiplied with.

        Args:
            inputs: What the layer is called on.

        Returns:
            A tensor that broadcasts against the inputs, at least float32.
        """
        x = ops.cast(inputs, self.statistics_dtype(inputs))
        means = ops.expand_dims(self.mean_vectors(x), -1)
        gate = ops.conv(
            means,
            ops.cast(self.kernel, means.dtype),
            padding="same",
            data_format="channels_last",
        )
        gate = ops.sigmoid(ops.squeeze(gate, -1))
        return self.of_each_sample(gate)

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """The average alone, as in the published table.

        It leaves out the convolution: `kernel_size` for each channel, in a
        ResNet-50 0.0001 of 4.127 G.
        """
        return math.prod(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}


def _adaptive_size(channels):
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1
