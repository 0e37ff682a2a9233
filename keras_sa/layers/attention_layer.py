"""What the attention layers have in common."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_sa.layers.tensor_types import DataFormat
from keras_sa.layers.tensor_types import Shape
from keras_sa.layers.tensor_types import Tensor


class AttentionLayer(keras.layers.Layer):
    """Base of the attention layers: image maps in, maps of the same shape out.

    Takes care of the data format, of the input's rank and channel count, and of
    precision: weights stay in the variable dtype, `statistics_dtype` says in which
    dtype means and variances are taken, and the output has the compute dtype. Gates
    that are made by other layers get them from `sublayer`, in at least float32.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.
    """

    def __init__(self, data_format: DataFormat | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Weights and statistics keep their precision under mixed policies.
        self.autocast = False
        if data_format is None:
            data_format = keras.config.image_data_format()
        if data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                '`data_format` must be "channels_last", "channels_first" or None. '
                f"Received: data_format={data_format!r}"
            )
        self.data_format = data_format

    @property
    def channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    @property
    def spatial_axes(self) -> tuple[int, int]:
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    def statistics_dtype(self, inputs: Tensor) -> str:
        """At least float32, whatever the policy: sums over a map overflow float16."""
        return keras.backend.result_type(inputs.dtype, "float32")

    def channels_of(self, input_shape: Shape) -> int:
        """The channel count of a `(batch, height, width, channels)`-like shape.

        Raises:
            ValueError: If the rank is not 4 or the channel count is unknown.
        """
        expected = (
            "(batch, height, width, channels)"
            if self.data_format == "channels_last"
            else "(batch, channels, height, width)"
        )
        if len(input_shape) != 4:
            raise ValueError(
                f"{type(self).__name__} takes inputs of rank 4, {expected}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise ValueError(
                f"{type(self).__name__} must know the number of channels when it is "
                f"built; inputs are {expected}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return channels

    def spatial_mean(self, x: Tensor) -> Tensor:
        """The mean over the map, with axes kept.

        One axis after the other: on a CPU TensorFlow reduces two middle axes at
        once at half the speed.
        """
        for axis in reversed(self.spatial_axes):
            x = keras.ops.mean(x, axis=axis, keepdims=True)
        return x

    def along_channels(self, vector: Tensor) -> Tensor:
        """A `(channels,)` tensor reshaped to broadcast against the inputs."""
        shape = [1, 1, 1, 1]
        shape[self.channel_axis] = -1
        return keras.ops.reshape(vector, shape)

    def of_each_sample(self, vectors: Tensor) -> Tensor:
        """A `(batch, channels)` tensor reshaped to broadcast against the inputs."""
        shape = [-1, 1, 1, 1]
        shape[self.channel_axis] = vectors.shape[-1]
        return keras.ops.reshape(vectors, shape)

    def mean_vectors(self, x: Tensor) -> Tensor:
        """The mean over the map as a `(batch, channels)` tensor."""
        return keras.ops.reshape(self.spatial_mean(x), (-1, x.shape[self.channel_axis]))

    def maps_shape(self, channels: int) -> tuple[int | None, ...]:
        """The shape of maps with this number of channels."""
        shape: list[int | None] = [None, None, None, None]
        shape[self.channel_axis] = channels
        return tuple(shape)

    def gated(self, inputs: Tensor, gate: Tensor) -> Tensor:
        """`inputs * gate` in the compute dtype."""
        dtype = self.compute_dtype
        return keras.ops.cast(inputs, dtype) * keras.ops.cast(gate, dtype)

    def sublayer(
        self,
        kind: type[keras.layers.Layer],
        input_shape: Shape,
        *args: Any,
        **kwargs: Any,
    ) -> keras.layers.Layer:
        """A built layer that computes a part of the gate, in at least float32.

        Args:
            kind: The class of the layer.
            input_shape: The shape of its inputs.
            *args: Positional arguments of the class.
            **kwargs: Keyword arguments of the class.
        """
        dtype = keras.backend.result_type(self.variable_dtype, "float32")
        layer = kind(*args, dtype=dtype, **kwargs)
        layer.build(input_shape)
        return layer

    def multiply_adds(self, input_shape: Sequence[int]) -> int:
        """Multiply-adds for one image, by the rules of `keras_sa.utils.count_flops`.

        Args:
            input_shape: The shape of the maps without the batch axis.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say how to count its multiply-adds: "
            "override `multiply_adds`."
        )

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
