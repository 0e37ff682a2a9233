"""The normalisation of images in front of a network."""

from collections.abc import Sequence

import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# By the number of channels; those of grey are the means of ImageNet's three.
DEFAULT_MEAN = {1: (0.449,), 3: IMAGENET_MEAN}
DEFAULT_STD = {1: (0.226,), 3: IMAGENET_STD}


def scale_and_shift(
    mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> tuple[np.ndarray, np.ndarray]:
    """The two vectors with which `x * scale + shift` is `(x / 255 - mean) / std`.

    Args:
        mean: One mean for each channel, of values in 0..1.
        std: One standard deviation for each channel, all greater than 0.

    Returns:
        Two float64 arrays of shape `(channels,)`; `x` is in 0..255.

    Raises:
        ValueError: If the lengths differ or a standard deviation is not positive.
    """
    mean, std = np.asarray(mean, "float64"), np.asarray(std, "float64")
    if mean.ndim != 1 or mean.shape != std.shape or not (std > 0).all():
        raise ValueError(
            "`mean` and `std` must hold one number for each channel, and `std` must "
            f"be positive. Received: mean={mean.tolist()}, std={std.tolist()}"
        )
    return 1.0 / (255.0 * std), -mean / std


def normalized(images, mean: Sequence[float], std: Sequence[float]):
    """`(x / 255 - mean) / std` in TensorFlow operations.

    Args:
        images: A float32 tensor `(..., height, width, channels)` in 0..255, of any
            height and width.
        mean: See `scale_and_shift`.
        std: See `scale_and_shift`.

    Returns:
        A float32 tensor of the same shape.
    """
    import tensorflow as tf

    scale, shift = scale_and_shift(mean, std)
    shape = tf.shape(images)
    width, channels = shape[-2], len(scale)
    # Whole rows at once: an operation that repeats three numbers along the last axis
    # takes several times as long as one that repeats a row.
    rows = tf.reshape(images, tf.concat([shape[:-2], [width * channels]], 0))
    rows = rows * tf.tile(scale.astype("float32"), [width])
    rows = rows + tf.tile(shift.astype("float32"), [width])
    normal = tf.reshape(rows, shape)
    normal.set_shape((*images.shape[:-1], channels))
    return normal
