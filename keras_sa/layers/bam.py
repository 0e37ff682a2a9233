"""The bottleneck attention module."""

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
class BAM(AttentionLayer):
    """Bottleneck attention: `x * (1 + sigmoid(channel + spatial))`.

    With `hidden = max(channels // ratio, 1)`:

    - channel: the mean over the map, a dense layer to `hidden`, batch norm, ReLU, a
      dense layer back to the channels.
    - spatial: a 1x1 convolution to `hidden`, two dilated 3x3 convolutions, each with
      batch norm and ReLU, and a 1x1 convolution to one map.

    All with biases. The two are added, as in the paper; its published code
    multiplies them. In a network the module stands between stages, not in every
    block. Gates are computed in at least float32.

    Args:
        ratio: See above. The published value is 16.
        dilation: Dilation of the 3x3 convolutions. The published value is 4.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: The maps.
        training: Whether the batch norms use the batch's statistics.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`
        with `data_format="channels_first"`. Only `channels` must be known.

    Output shape:
        Same as the input shape.

    Raises:
        ValueError: If an argument is out of its range, the input's rank is not 4 or
            the channels are unknown.

    Example:

    >>> layer = BAM()
    >>> layer(keras.ops.ones((2, 7, 7, 32))).shape
    TensorShape([2, 7, 7, 32])

    Reference:

    - [BAM: Bottleneck Attention Module](https://arxiv.org/abs/1807.06514)
      (Park et al., BMVC 2018)
    """

    def __init__(
        self,
        ratio: int = 16,
        dilation: int = 4,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive_integer("ratio", ratio)
        check_positive_integer("dilation", dilation)
        super().__init__(data_format=data_format, **kwargs)
        self.ratio = ratio
        self.dilation = dilation

    def build(self, input_shape: Shape) -> None:
        channels = self.channels_of(input_shape)
        hidden = hidden_units(channels, self.ratio)
        vectors = (None, hidden)
        self.channel_reduce = self.sublayer(
            keras.layers.Dense, (None, channels), hidden, name="channel_reduce"
        )
        self.channel_norm = self._batch_norm(vectors, -1, "channel_norm")
        self.channel_expand = self.sublayer(
            keras.layers.Dense, vectors, channels, name="channel_expand"
        )
        self.spatial_convolutions = [
            self._convolution(channels, hidden, 1, "spatial_reduce"),
            self._convolution(hidden, hidden, 3, "spatial_dilated_1"),
            self._convolution(hidden, hidden, 3, "spatial_dilated_2"),
        ]
        self.spatial_norms = [
            self._batch_norm(
                self.maps_shape(hidden), self.channel_axis, f"spatial_norm_{index}"
            )
            for index in range(len(self.spatial_convolutions))
        ]
        self.spatial_expand = self._convolution(hidden, 1, 1, "spatial_expand")

    def _batch_norm(self, input_shape, axis, name):
        return self.sublayer(
            keras.layers.BatchNormalization,
            input_shape,
            axis=axis,
            name=name,
            **BATCH_NORM,
        )

    def _convolution(self, channels, filters, size, name):
        return self.sublayer(
            keras.layers.Conv2D,
            self.maps_shape(channels),
            filters,
            size,
            padding="same",
            dilation_rate=self.dilation if size > 1 else 1,
            data_format=self.data_format,
            name=name,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = ops.cast(inputs, self.statistics_dtype(inputs))
        return self.gated(x, self._gate(x, training))

    def gate(self, inputs: Tensor) -> Tensor:
        """The factors that the maps are multiplied with in inference mode, in 1..2.

        Args:
            inputs: What the layer is called on.

        Returns:
            A tensor of the inputs' shape, at least float32.
        """
        return self._gate(ops.cast(inputs, self.statistics_dtype(inputs)), False)

    def _gate(self, x, training):
        logits = self._channel(x, training) + self._spatial(x, training)
        return 1 + ops.sigmoid(logits)

    def _channel(self, x, training):
        vectors = self.channel_reduce(self.mean_vectors(x))
        vectors = ops.relu(self.channel_norm(vectors, training=training))
        return self.of_each_sample(self.channel_expand(vectors))

    def _spatial(self, x, training):
        for convolution, norm in zip(
            self.spatial_convolutions, self.spatial_norms, strict=True
        ):
            x = ops.relu(norm(convolution(x), training=training))
        return self.spatial_expand(x)

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """The dense layers, convolutions, batch norms and their activations.

        The published table leaves out the average over the map: at 224x224 in a
        ResNet 0.0014 G.
        """
        channels = self.channels_of((None, *input_shape))
        hidden = hidden_units(channels, self.ratio)
        # A batch norm counts two, a ReLU and a convolution's bias one.
        channel = 2 * channels * hidden + 3 * hidden
        spatial = channels * hidden + 2 * 9 * hidden**2 + 3 * 4 * hidden + hidden + 1
        return channel + math.prod(input_shape) // channels * spatial

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "dilation": self.dilation,
        }
