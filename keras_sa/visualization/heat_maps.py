"""Maps of a network in the size of its images and in 0..1."""

import keras
import numpy as np

from keras_sa.layers.tensor_types import DataFormat


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes maps bilinearly, with the positions' centres kept in place.

    Args:
        maps: `(batch, height, width, channels)`.
        size: The new height and width.

    Returns:
        A float32 array `(batch, *size, channels)`.
    """
    resized = keras.ops.image.resize(
        np.asarray(maps, "float32"),
        tuple(size),
        interpolation="bilinear",
        data_format="channels_last",
    )
    return keras.ops.convert_to_numpy(resized)


def min_max(maps: np.ndarray) -> np.ndarray:
    """Scales every map to 0..1; a constant one becomes 0.

    Args:
        maps: `(batch, height, width, ...)`.

    Returns:
        An array of the same shape.
    """
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    # Rounding must not make a picture of a constant map.
    constant = span <= 1e-6 * np.abs(maps).max(axis=(1, 2), keepdims=True)
    return np.where(constant, 0, (maps - low) / np.where(constant, 1, span))


def image_size(images: np.ndarray, data_format: DataFormat) -> tuple[int, int]:
    """Height and width of a batch of images."""
    if data_format == "channels_first":
        return tuple(images.shape[2:])
    return tuple(images.shape[1:3])


def channels_last(maps: np.ndarray, data_format: DataFormat) -> np.ndarray:
    """Maps with their channels at the end."""
    return np.moveaxis(maps, 1, -1) if data_format == "channels_first" else maps
