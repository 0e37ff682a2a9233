"""Whether a network normalises its images itself."""

import math

import keras
import numpy as np

SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization)
# Pixels in 0..255 are divided by 25 at least, normalised images by about 1.
MOST_FOR_PIXELS = 0.1


def takes_pixels(model: keras.Model) -> bool:
    """Whether a model's graph begins with a division that is meant for 0..255.

    Finds `keras.layers.Rescaling`, `keras.layers.Normalization` and arithmetic on the
    input, such as `sa_resnet.preprocess_input` does, also in nested models, and
    tries out by how much they divide. What it doesn't find, such as a normalisation
    behind a convolution, counts as none.

    Args:
        model: A model with one input. For others the answer is no.

    Example:

    >>> images = keras.Input((8, 8, 3))
    >>> takes_pixels(keras.Model(images, images / 255.0))
    True
    """
    operations = _operations(model)
    if operations is None or len(model.inputs) != 1:
        return False
    scaled = None
    for operation in operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        if isinstance(operation, keras.Model) and scaled is None:
            return takes_pixels(operation)
        if isinstance(operation, keras.layers.Layer) and not isinstance(
            operation, SCALING_LAYERS
        ):
            break
        scaled = operation.output
    return isinstance(scaled, keras.KerasTensor) and _slope(model, scaled) < (
        MOST_FOR_PIXELS
    )


def _operations(model):
    if isinstance(model, keras.Sequential):
        return model.layers if model.built else None
    return getattr(model, "operations", None)


def _slope(model, scaled):
    """By how much a pixel's step of 1 moves the scaled image, at most."""
    start = keras.Model(model.inputs[0], scaled)
    shape = [length or 1 for length in model.inputs[0].shape]
    low, high = (
        keras.ops.convert_to_numpy(start(np.full(shape, value, "float32")))
        for value in (0, 1)
    )
    if low.shape != high.shape or not low.size:
        return math.inf
    return float(np.max(np.abs(high - low)))
