"""Stems and bottlenecks of ResNets, with the published names of their layers."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from keras_sa.utils import layer_names
from keras_sa.utils.layer_names import Place


def channel_axis() -> int:
    """The axis of the channels in `keras.config.image_data_format()`."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def _convolution(x, filters, size, stride, name):
    if size > 1:
        x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=f"{name}_conv",
    )(x)


def _batch_norm(x, name, kind=keras.layers.BatchNormalization):
    return kind(axis=channel_axis(), momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _relu(x, name):
    return keras.layers.Activation("relu", name=name)(x)


def _convolution_block(x, filters, size, stride, name):
    x = _batch_norm(_convolution(x, filters, size, stride, name), name)
    return _relu(x, f"{name}_relu")


def bottleneck(
    x: keras.KerasTensor,
    inner: int,
    outer: int,
    stride: int,
    project: bool,
    attend: Callable[..., keras.KerasTensor],
    last_norm: type[keras.layers.BatchNormalization],
    place: Place,
) -> keras.KerasTensor:
    """A bottleneck around a shortcut, with attention before the addition.

    Args:
        x: The maps.
        inner: Channels of the 3x3 convolution.
        outer: Channels of the result.
        stride: Of the 3x3 convolution.
        project: Whether the shortcut has a 1x1 convolution.
        attend: A function of the maps, the placement `"block"` and a `name`.
        last_norm: The class of the batch norm in front of the attention.
        place: Which bottleneck it is, for the layers' names.
    """
    shortcut = x
    if project:
        name = place.layer(layer_names.SHORTCUT)
        shortcut = _batch_norm(_convolution(x, outer, 1, stride, name), name)
    x = _convolution_block(x, inner, 1, 1, place.layer(layer_names.REDUCE))
    x = _convolution_block(x, inner, 3, stride, place.layer(layer_names.SPATIAL))
    name = place.layer(layer_names.EXPAND)
    x = _batch_norm(_convolution(x, outer, 1, 1, name), name, last_norm)
    x = attend(x, "block", name=place.layer(layer_names.ATTENTION))
    x = keras.layers.Add(name=place.layer(layer_names.ADD))([shortcut, x])
    return _relu(x, place.layer(layer_names.OUTPUT))


def _imagenet_stem(x, width):
    x = _convolution_block(x, width, 7, 2, layer_names.STEM)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _small_stem(x, width):
    return _convolution_block(x, width, 3, 1, layer_names.STEM)


@dataclass(frozen=True)
class Stem:
    """The layers before the first stage and the smallest image they are for."""

    build: Callable[[keras.KerasTensor, int], keras.KerasTensor]
    min_size: int


STEMS = {"imagenet": Stem(_imagenet_stem, 32), "small": Stem(_small_stem, 8)}
