"""The convolutional block attention module."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_sa.layers.arguments import BATCH_NORM
from keras_sa.layers.arguments import check_positive_integer
from keras_sa.layers.arguments import hidden_units
from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.tensor_types import DataFormat
from keras_sa.layers.tensor_types import Shape
from keras_sa.layers.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="keras_sa")
class CBAM(AttentionLayer):
    """Convolutional block attention: a gate per channel, then one per position.

    The channel gate is `sigmoid(mlp(mean(x)) + mlp(max(x)))`, mean and maximum over
    the map, with two dense layers with biases shared by both. The spatial gate
    looks at the result: the sigmoid of a batch norm of a convolution without bias
    over two maps, the maximum and the mean over the channels. Gates are computed in
    at least float32.

    Args:
        ratio: The hidden layer of the channel gate has `max(channels // ratio, 1)`
            units. The published value is 16.
        kernel_size: Height and width of the spatial gate's convolution, an odd
            number. The published value is 7.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: The maps.
        training: Whether the batch norm uses the batch's statistics.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`
        with `data_format="channels_first"`. Only `channels` must be known.

    Output shape:
        Same as the input shape.

    Raises:
        ValueError: If an argument is out of its range, the input's rank is not 4 or
            the channels are unknown.

    Example:

    >>> layer = CBAM()
    >>> layer(keras.ops.ones((2, 7, 7, 32))).shape
    TensorShape([2, 7, 7, 32])

    Reference:

    - [CBAM: Convolutional Block Attention Module](
      https://arxiv.org/abs/1807.06521) (Woo et al., ECCV 2018)
    """

    def __init__(
        self,
        ratio: int = 16,
        kernel_size: int = 7,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive_integer("ratio", ratio)
        check_positive_integer("kernel_size", kernel_size, odd=True)
        super().__init__(data_format=data_format, **kwargs)
        self.ratio = ratio
        self.kernel_size = kernel_size

    def build(self, input_shape: Shape) -> None:
        channels = self.channels_of(input_shape)
        hidden = hidden_units(channels, self.ratio)
        self.reduce = self.sublayer(
            keras.layers.Dense,
            (None, channels),
            hidden,
            activation="relu",
            name="reduce",
        )
        self.expand = self.sublayer(
            keras.layers.Dense, (None, hidden), channels, name="expand"
        )
        self.convolution = self.sublayer(
            keras.layers.Conv2D,
            self.maps_shape(2),
            1,
            self.kernel_size,
            padding="same",
            use_bias=False,
            data_format=self.data_format,
            name="convolution",
        )
        self.batch_norm = self.sublayer(
            keras.layers.BatchNormalization,
            self.maps_shape(1),
            axis=self.channel_axis,
            name="batch_norm",
            **BATCH_NORM,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = ops.cast(inputs, self.statistics_dtype(inputs))
        x = x * self._channel_gate(x)
        return self.gated(x, self._spatial_gate(x, training))

    def gate(self, inputs: Tensor) -> Tensor:
        """The factors that the maps are multiplied with in inference mode.

        Args:
            inputs: What the layer is called on.

        Returns:
            A tensor of the inputs' shape, at least float32.
        """
        x = ops.cast(inputs, self.statistics_dtype(inputs))
        gate = self._channel_gate(x)
        return gate * self._spatial_gate(x * gate, training=False)

    def _channel_gate(self, x):
        vectors = self.mean_vectors(x), ops.max(x, self.spatial_axes)
        logits = sum(self.expand(self.reduce(vector)) for vector in vectors)
        return self.of_each_sample(ops.sigmoid(logits))

    def _spatial_gate(self, x, training):
        pooled = ops.concatenate(
            [
                ops.max(x, self.channel_axis, keepdims=True),
                ops.mean(x, self.channel_axis, keepdims=True),
            ],
            self.channel_axis,
        )
        return ops.sigmoid(self.batch_norm(self.convolution(pooled), training=training))

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """Both poolings over the map, both passes of the MLP, the convolution.

        With the activations between the dense layers and the batch norm. The
        published table doesn't count the maximum and mean over the channels.
        """
        channels = self.channels_of((None, *input_shape))
        hidden = hidden_units(channels, self.ratio)
        values = math.prod(input_shape)
        channel = 2 * (values + 2 * channels * hidden + hidden)
        return channel + values // channels * (2 * self.kernel_size**2 + 2)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "kernel_size": self.kernel_size,
        }
