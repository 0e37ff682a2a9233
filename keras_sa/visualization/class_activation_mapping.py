"""Where in an image a network sees a class."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_sa.visualization.class_indices import check_count
from keras_sa.visualization.class_indices import class_indices
from keras_sa.visualization.heat_maps import channels_last
from keras_sa.visualization.heat_maps import image_size
from keras_sa.visualization.heat_maps import min_max
from keras_sa.visualization.heat_maps import resize_maps
from keras_sa.visualization.recording import batches
from keras_sa.visualization.recording import image_batch
from keras_sa.visualization.recording import record
from keras_sa.visualization.recording import to_float32
from keras_sa.visualization.target_layer import find_target

# The loss scales that are tried, the largest that every gradient survives is taken:
# they keep the gradients of large maps above float16's smallest numbers, and those of
# large weights below its largest. A common factor of an image's gradients does not
# change its map, and a power of two rounds nothing.
GRADIENT_SCALES = (2.0**10, 1.0, 2.0**-10, 2.0**-20)


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    class_index: int | Sequence[int] | None = None,
    layer: str | keras.layers.Layer | None = None,
    *,
    batch_size: int = 32,
) -> np.ndarray:
    """Grad-CAM: the parts of the images that speak for a class.

    The channels of a layer's output are weighted with the mean over the map of the
    logit's gradient; the positive part of their sum is resized to the image and
    scaled to 0..1. The gradient is that of the logit also where the model ends in a
    softmax or sigmoid, or their logarithm.

    Args:
        model: Any classifier: functional, sequential, subclassed, with nested
            models, under any dtype policy. Needs the TensorFlow backend.
        images: A batch `(batch, height, width, channels)`, or in the model's data
            format, exactly as the model takes it: what it expects to be normalised
            must be.
        class_index: The class to look for, or one for each image. Defaults to the
            most probable class of each image.
        layer: A layer, or its name, with an output of rank 4. Defaults to the last
            one with a map of more than one position, for ResNets the last block.
            If it is called several times, the last call counts.
        batch_size: How many images are computed at once.

    Returns:
        A float32 array `(batch, height, width)` in 0..1; 0 where nothing speaks for
        the class, and everywhere if the map is constant.

    Raises:
        RuntimeError: If Keras runs on another backend than TensorFlow.
        ValueError: If an argument is out of its range, the layer is not found (the
            message lists layers) or the logits don't depend on it.

    Example:

    ```python
    images = sa_resnet.preprocess_input(photos)  # RGB in 0..255
    maps = grad_cam(model, images)
    pictures = overlay(photos, maps)  # uint8, to be saved or shown
    ```

    Reference:

    - [Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
      Localization](https://arxiv.org/abs/1610.02391) (Selvaraju et al., ICCV 2017)
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Grad-CAM needs Keras' TensorFlow backend. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    images = image_batch(model, images)
    slices = list(batches(images, batch_size))
    check_count(class_index, images)
    probe = record(model, images[:1])
    target = find_target(probe, layer)
    size = image_size(images, probe.data_format())
    data_format = probe.data_format(target)
    results = [
        _weighted_maps(model, images, part, class_index, target.operation, data_format)
        for part in slices
    ]
    maps = resize_maps(np.concatenate(results)[..., np.newaxis], size)
    return min_max(maps)[..., 0]


def _weighted_maps(model, images, part, class_index, layer, data_format):
    import tensorflow as tf

    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        recording = record(model, images[part], [layer], tape.watch)
        logits = recording.head().logits
        chosen = class_indices(class_index, to_float32(logits), part)
        own = tf.gather(tf.cast(logits, tf.float32), chosen, batch_dims=1)
    activation = recording.of(layer).output
    for scale in GRADIENT_SCALES:
        # Images don't influence each other in inference, so one sum does for all.
        gradient = tape.gradient(own, activation, scale * tf.ones_like(own))
        if gradient is None or tf.reduce_all(tf.math.is_finite(gradient)):
            break
    if gradient is None:
        raise ValueError(
            "The model's logits do not depend on the output of `layer`. "
            f"Received: layer={layer.name!r}"
        )
    activation, gradient = (
        channels_last(to_float32(tensor), data_format)
        for tensor in (activation, gradient)
    )
    if not (np.isfinite(activation).all() and np.isfinite(gradient).all()):
        raise ValueError(
            "The model's activations or gradients are not finite in its precision: "
            "look at a float32 copy of it. "
            f"Received: model={model.name!r}, layer={layer.name!r}"
        )
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    return np.maximum((activation * weights).sum(axis=-1), 0)
