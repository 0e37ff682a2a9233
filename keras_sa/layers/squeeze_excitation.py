"""The squeeze-and-excitation layer."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_sa.layers.arguments import check_positive_integer
from keras_sa.layers.arguments import hidden_units
from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.tensor_types import DataFormat
from keras_sa.layers.tensor_types import Shape
from keras_sa.layers.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="keras_sa")
class SqueezeExcitation(AttentionLayer):
    """Squeeze and excitation: a gate per channel from all channels' means.

    `x * sigmoid(expand(relu(reduce(mean(x)))))` with two dense layers with biases.
    The mean is over the map; the gate is computed in at least float32.

    Args:
        ratio: The hidden layer has `max(channels // ratio, 1)` units. The published
            value is 16.
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

    >>> layer = SqueezeExcitation()
    >>> layer(keras.ops.ones((2, 7, 7, 32))).shape
    TensorShape([2, 7, 7, 32])

    Reference:

    - [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507)
      (Hu et al., CVPR 2018)
    """

    def __init__(
        self, ratio: int = 16, data_format: DataFormat | None = None, **kwargs: Any
    ) -> None:
        check_positive_integer("ratio", ratio)
        super().__init__(data_format=data_format, **kwargs)
        self.ratio = ratio

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
        gate = ops.sigmoid(self.expand(self.reduce(self.mean_vectors(x))))
        return self.of_each_sample(gate)

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """The average, the two dense layers and the activation between them."""
        channels = self.channels_of((None, *input_shape))
        hidden = hidden_units(channels, self.ratio)
        return math.prod(input_shape) + 2 * channels * hidden + hidden

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ratio": self.ratio}
