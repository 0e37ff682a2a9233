"""A new last layer for a trained network, whatever the size of its features."""

import keras
import numpy as np

from keras_sa.utils.layer_names import HEAD

STANDARDISED = "standardised_features"
# Length of the standardised features of the median image. With the rate of the recipe
# `fine_tune`, 0.005, a step of the head is a sixth of the largest stable one.
LENGTH = 16.0
# Of the images that are looked at.
IMAGES = 256


def with_new_head(base: keras.Model, classes: int) -> keras.Model:
    """Puts a classifier that begins with equal probabilities on a network.

    Before the classifier stands a batch norm without weights, which is to be frozen.
    `standardise` makes it subtract the features' median and divide by their length, so
    that one learning rate suits every network.

    Args:
        base: A network with features `(batch, channels)` as its output.
        classes: How many.
    """
    dtype = keras.config.dtype_policy().variable_dtype
    features = keras.layers.BatchNormalization(
        # The statistics are those of a length, and not near zero.
        epsilon=1e-12,
        center=False,
        scale=False,
        dtype=dtype,
        name=STANDARDISED,
    )
    top = keras.layers.Dense(
        classes,
        activation="softmax",
        kernel_initializer="zeros",
        dtype=dtype,
        name=HEAD,
    )
    return keras.Model(base.input, top(features(base.output)), name=base.name)


def has_new_head(model: keras.Model) -> bool:
    """Whether the model has the batch norm of `with_new_head`."""
    return any(layer.name == STANDARDISED for layer in model.layers)


def standardise(model: keras.Model, data) -> None:
    """Gives the batch norm before a new head the statistics of the first images.

    Args:
        model: Of `with_new_head`.
        data: The training's `ImageData`.
    """
    layer = model.get_layer(STANDARDISED)
    base = keras.Model(model.input, layer.input)
    found, rows = [], 0
    for images, _, weights in data.epoch():
        features = keras.ops.convert_to_numpy(base(images, training=False))
        found.append(features[weights.numpy() > 0].astype("float64"))
        rows += len(found[-1])
        if rows >= IMAGES:
            break
    features = np.concatenate(found)
    # Medians: batch norms that are frozen make giants of a few images.
    center = np.median(features, axis=0)
    length = np.median(np.sqrt(np.square(features - center).sum(1)))
    layer.moving_mean.assign(center)
    # Features that are all the same can't tell anything apart, at any scale.
    layer.moving_variance.assign(np.full_like(center, (length / LENGTH or 1.0) ** 2))


def folded(model: keras.Model) -> keras.Model:
    """The same function without the batch norm before the head.

    Its weights become those of the head: the network is again what its builder makes,
    and saves, converts and exports as such.

    Args:
        model: Of `with_new_head`. Its layers are shared.
    """
    layer, top = model.get_layer(STANDARDISED), model.get_layer(HEAD)
    mean, variance = (v.numpy().astype("float64") for v in layer.weights)
    kernel, bias = (v.numpy().astype("float64") for v in top.weights)
    kernel /= np.sqrt(variance + layer.epsilon)[:, None]
    plain = keras.layers.Dense.from_config(top.get_config())
    result = keras.Model(model.input, plain(layer.input), name=model.name)
    plain.set_weights([kernel, bias - mean @ kernel])
    return result
