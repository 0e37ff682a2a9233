"""The small networks behind a pyramid, as published.

All predictions are float32, whatever the policy.
"""

import math

import keras

MASK_SIZE = 28
PRIOR = 0.01


def proposal_head(channels: int, anchors: int, dtype=None) -> keras.Model:
    """From a map to an objectness logit and four deltas for each anchor."""
    maps = keras.Input((None, None, channels), name="maps")
    x = _convolution(channels, 3, 0.01, dtype, "conv")(maps)
    logits = _prediction(anchors, 0.01, "logits")(x)
    deltas = _prediction(4 * anchors, 0.01, "deltas")(x)
    return keras.Model(maps, [logits, deltas], name="proposal_head")


def dense_head(
    channels: int, anchors: int, classes: int, dtype=None, depth: int = 4
) -> keras.Model:
    """RetinaNet's head: class logits and deltas for each anchor.

    The logits begin as the log odds of `PRIOR`: else the many anchors of the
    background drown the first steps.
    """
    maps = keras.Input((None, None, channels), name="maps")
    x = y = maps
    for index in range(depth):
        x = _convolution(channels, 3, 0.01, dtype, f"class_conv{index + 1}")(x)
        y = _convolution(channels, 3, 0.01, dtype, f"box_conv{index + 1}")(y)
    prior = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    logits = _prediction(classes * anchors, 0.01, "logits", 3, prior)(x)
    deltas = _prediction(4 * anchors, 0.01, "deltas", 3)(y)
    return keras.Model(maps, [logits, deltas], name="dense_head")


def box_head(
    channels: int, classes: int, units: int, size: int, dtype=None
) -> keras.Model:
    """From a region's `size x size` cells to class logits and deltas of each class.

    The last of the `classes + 1` logits is the background's.
    """
    regions = keras.Input((size, size, channels), name="regions")
    x = keras.layers.Flatten(name="flatten", dtype=dtype)(regions)
    for index in (1, 2):
        x = keras.layers.Dense(units, "relu", name=f"dense{index}", dtype=dtype)(x)
    logits = keras.layers.Dense(
        classes + 1, kernel_initializer=_normal(0.01), name="logits", dtype="float32"
    )(x)
    deltas = keras.layers.Dense(
        4 * classes, kernel_initializer=_normal(0.001), name="deltas", dtype="float32"
    )(x)
    return keras.Model(regions, [logits, deltas], name="box_head")


def mask_head(channels: int, classes: int, dtype=None, depth: int = 4) -> keras.Model:
    """From a region's 14x14 cells to a logit for each of 28x28 cells and class."""
    size = MASK_SIZE // 2
    regions = keras.Input((size, size, channels), name="regions")
    he = keras.initializers.HeNormal
    x = regions
    for index in range(depth):
        x = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=he(),
            name=f"conv{index + 1}",
            dtype=dtype,
        )(x)
    x = keras.layers.Conv2DTranspose(
        channels,
        2,
        strides=2,
        activation="relu",
        kernel_initializer=he(),
        name="upsampling",
        dtype=dtype,
    )(x)
    logits = keras.layers.Conv2D(
        classes, 1, kernel_initializer=he(), name="logits", dtype="float32"
    )(x)
    return keras.Model(regions, logits, name="mask_head")


def _normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)


def _convolution(channels, size, stddev, dtype, name):
    return keras.layers.Conv2D(
        channels,
        size,
        padding="same",
        activation="relu",
        kernel_initializer=_normal(stddev),
        name=name,
        dtype=dtype,
    )


def _prediction(channels, stddev, name, size=1, bias="zeros"):
    return keras.layers.Conv2D(
        channels,
        size,
        padding="same",
        kernel_initializer=_normal(stddev),
        bias_initializer=bias,
        name=name,
        dtype="float32",
    )
