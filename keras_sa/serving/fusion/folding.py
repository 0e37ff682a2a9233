"""Convolutions that wait for what follows them, so that it can be folded in."""

from dataclasses import dataclass
from dataclasses import replace

import keras
import numpy as np

from keras_sa.layers.shuffled_order import shuffled_order


@dataclass(frozen=True)
class Convolution:
    """A convolution that is not yet called.

    Args:
        layer: The layer that it began as; gives the name and the settings.
        kernel: `(height, width, in, out)`.
        bias: `(out,)`.
        source: What it will be called on.
        padding: `"valid"` or `"same"`.
    """

    layer: keras.layers.Conv2D
    kernel: np.ndarray
    bias: np.ndarray
    source: object
    padding: str

    @classmethod
    def of(cls, layer, source, padding):
        kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
        bias = np.zeros(kernel.shape[-1])
        if layer.use_bias:
            bias = keras.ops.convert_to_numpy(layer.bias).astype("float64")
        return cls(layer, kernel, bias, source, padding)

    @property
    def is_pointwise(self) -> bool:
        """Whether it maps every position by itself: its mean commutes with it."""
        strides = tuple(self.layer.strides)
        return self.kernel.shape[:2] == (1, 1) and strides == (1, 1)

    def scaled(self, scale, shift):
        """The same followed by `x * scale + shift` for each channel."""
        return replace(self, kernel=self.kernel * scale, bias=self.bias * scale + shift)

    def outputs(self, channels):
        """Only these output channels, in this order."""
        return replace(
            self, kernel=self.kernel[..., channels], bias=self.bias[channels]
        )

    def inputs(self, channels, source):
        """What these input channels contribute, with their share of the bias.

        TensorFlow fuses an addition only into a convolution that has a bias.
        """
        share = len(channels) / self.kernel.shape[2]
        kernel = self.kernel[:, :, channels]
        return replace(self, kernel=kernel, bias=self.bias * share, source=source)

    def build(self, name: str, activation: str | None = None) -> keras.layers.Conv2D:
        """The layer, with its weights set."""
        layer = keras.layers.Conv2D(
            self.kernel.shape[-1],
            self.kernel.shape[:2],
            strides=self.layer.strides,
            padding=self.padding,
            dilation_rate=self.layer.dilation_rate,
            groups=self.layer.groups,
            data_format=self.layer.data_format,
            activation=activation,
            dtype=self.layer.dtype_policy,
            name=name,
        )
        channels = self.kernel.shape[2] * self.layer.groups
        last = self.layer.data_format == "channels_last"
        layer.build(
            (None, None, None, channels) if last else (None, channels, None, None)
        )
        layer.set_weights([self.kernel, self.bias])
        return layer


def batch_norm_scale_and_shift(layer: keras.layers.BatchNormalization):
    """The two vectors that a batch norm is at inference."""
    mean, variance = (
        keras.ops.convert_to_numpy(weight).astype("float64")
        for weight in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * keras.ops.convert_to_numpy(layer.gamma)
    shift = -mean * scale
    if layer.center:
        shift = shift + keras.ops.convert_to_numpy(layer.beta)
    return scale, shift


@dataclass(frozen=True)
class GateParameters:
    """Shuffle attention for each channel of its output.

    Args:
        channel_branch: The output channels that their mean gates.
        spatial_branch: The other output channels.
        source: For every output channel the channel of the input that it shows.
        channel_weights: Weight and bias of each channel of the channel branch.
        spatial_weights: Scale and shift of each channel of the spatial branch.
    """

    channel_branch: np.ndarray
    spatial_branch: np.ndarray
    source: np.ndarray
    channel_weights: tuple[np.ndarray, np.ndarray]
    spatial_weights: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, layer):
        weights = [
            keras.ops.convert_to_numpy(weight).astype("float64")
            for weight in layer.weights
        ]
        channel_weight, channel_bias, spatial_weight, spatial_bias, gamma, beta = (
            weights
        )
        size = len(channel_weight)
        channels = 2 * size * layer.groups
        # The published order of the channels: in every group first the one branch.
        position = np.arange(channels) % (2 * size)
        order = shuffled_order(channels) if layer.shuffle else np.arange(channels)
        # Channels that arrive shuffled are where they belong already.
        source = np.arange(channels) if layer.pre_shuffled else order
        position = position[order]
        channel_branch = np.flatnonzero(position < size)
        spatial_branch = np.flatnonzero(position >= size)
        first = position[channel_branch]
        second = position[spatial_branch] - size
        return cls(
            channel_branch,
            spatial_branch,
            source,
            (channel_weight[first], channel_bias[first]),
            (
                (spatial_weight * gamma)[second],
                (spatial_weight * beta + spatial_bias)[second],
            ),
        )

    @property
    def order(self) -> np.ndarray:
        return np.concatenate([self.channel_branch, self.spatial_branch])

    @property
    def whole_weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scale, shift and weight of the mean, for all channels."""
        weight, bias = self.channel_weights
        scale, shift = self.spatial_weights
        zeros = np.zeros_like(weight)
        position = np.argsort(self.order)
        slope, level, of_mean = (
            np.concatenate(halves)[position]
            for halves in ((zeros, scale), (bias, shift), (weight, zeros))
        )
        return slope, level, of_mean
