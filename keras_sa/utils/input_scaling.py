"""Whether a network normalises its images itself, and what it takes as images."""

import keras
import numpy as np

from keras_sa import keras_hooks

# Layers before the first one that learns; augmentation passes images on in inference.
STARTS = (
    keras.Model,
    keras.layers.InputLayer,
    keras.layers.GaussianNoise,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    # The class of all layers of augmentation.
    keras.layers.RandomFlip.__base__,
)
# Pixels in 0..255 are divided by 25 at least, normalised images by about 1; or about
# 100 is subtracted of them, and of normalised images about 1.
MOST_FOR_PIXELS = 0.1
LEAST_FOR_PIXELS = 10


def takes_pixels(model: keras.Model) -> bool:
    """Whether a model takes images in 0..255.

    It does if its input is of integers, or if its graph begins with a division, or a
    subtraction, that is meant for such images. `keras.layers.Rescaling`,
    `keras.layers.Normalization` and arithmetic on the input, such as
    `sa_resnet.preprocess_input` does, are found also in nested models and behind
    augmentation, and it is tried out what they do. What isn't found, such as a
    normalisation behind a convolution, counts as none.

    Args:
        model: A model with one input. For others the answer is no.

    Example:

    >>> images = keras.Input((8, 8, 3))
    >>> takes_pixels(keras.Model(images, images / 255.0))
    True
    """
    if integer_type(model):
        return True
    shape = _shape(model)
    if shape is None:
        return False
    low, high = (_scaled(model, np.full(shape, value)) for value in (0, 1))
    if low.shape != high.shape or not low.size:
        return False
    return bool(
        np.abs(high - low).max() < MOST_FOR_PIXELS
        or np.abs(low).max() > LEAST_FOR_PIXELS
    )


def neutral_pixel(model: keras.Model) -> np.ndarray:
    """The pixel that a model's own scaling turns to 0.

    Args:
        model: A model of images, in the order of `keras.config.image_data_format()`.

    Returns:
        A float32 array that broadcasts over a batch of images: 0 for a model that
        takes its images as they are.
    """
    if not takes_pixels(model) or len(model.inputs[0].shape) != 4:
        return np.zeros((1, 1, 1, 1), "float32")
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1
    shape = _shape(model)
    channels = shape[axis]
    # One image of zeros, and for each channel one that is 1 there alone.
    pixels = np.concatenate([np.zeros((1, channels)), np.eye(channels)])
    images = np.moveaxis(np.zeros((1 + channels, *shape[1:])), axis, -1)
    images = np.moveaxis(images + pixels[:, np.newaxis, np.newaxis], -1, axis)
    offset, *rows = np.moveaxis(_scaled(model, images), axis, -1)[:, 0, 0]
    pixel = np.linalg.lstsq((rows - offset).T, -offset, rcond=None)[0]
    aside = [1] * 4
    aside[axis] = channels
    return pixel.reshape(aside).astype("float32")


def integer_type(model: keras.Model) -> str | None:
    """The type of a model's input if it is one of integers."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) == 1 and keras.backend.is_int_dtype(inputs[0].dtype):
        return inputs[0].dtype
    return None


def as_input(images, dtype: str | None):
    """Images, an array or tensor, in the type that `integer_type` told.

    Keras would cut off what is behind the point.
    """
    if dtype is None:
        return images
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return keras.ops.cast(keras.ops.clip(keras.ops.round(images), low, high), dtype)


def _shape(model):
    """The shape of one image of a built model with one input, as small as it may be."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        return None
    return [1, *(length or 1 for length in inputs[0].shape[1:])]


def _scaled(model, images):
    """What the first layer behind the scaling gets of these images."""
    seen = []

    def stop(*args, **kwargs):
        seen.append(args[0] if args else None)
        raise _ReachedError

    replacements = [
        (layer, "call", stop)
        for layer in keras_hooks.operations_of(model)
        if isinstance(layer, keras.layers.Layer) and not isinstance(layer, STARTS)
    ]
    with keras_hooks.replaced(replacements):
        try:
            seen.append(model(images.astype("float32"), training=False))
        except _ReachedError:
            pass
    # A layer of several inputs gets the images as they are, as far as is known.
    first = seen[0] if hasattr(seen[0], "shape") else images
    return keras.ops.convert_to_numpy(keras.ops.cast(first, "float32"))


class _ReachedError(Exception):
    """Ends the call of a model at a layer."""
