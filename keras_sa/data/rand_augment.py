"""RandAugment: a few random operations on every image."""

from collections.abc import Callable
from collections.abc import Sequence

import keras
import numpy as np

from keras_sa.data.stateless_seeds import StatelessSeeds


def operations(magnitude: float, fill: Sequence[float]) -> list[Callable]:
    """The operations of the RandAugment paper, most of them layers of Keras.

    Each draws its strength uniformly between nothing and its part of `magnitude`.

    Args:
        magnitude: 0..1. At 1: rotation by 30 degrees, shearing by 0.3, translation
            by 0.45 of the side, brightness, contrast, colour and sharpness changed
            by 0.9, posterising to 4 bits, solarising all levels.
        fill: The pixel, in 0..255, for places that no pixel is moved to.

    Returns:
        Functions of images `(1, height, width, 3)` in 0..255 and of a Keras seed
        generator that return images.
    """
    layers = keras.layers
    shear, shift, change = 0.3 * magnitude, 0.45 * magnitude, 0.9 * magnitude
    levels = {"value_range": (0, 255), "dtype": "float32"}
    filled = {"fill_mode": "constant", "fill_value": 0.0, "dtype": "float32"}
    moves = (
        layers.RandomRotation(magnitude * 30 / 360, **filled),
        layers.RandomShear(x_factor=shear, **filled),
        layers.RandomShear(y_factor=shear, **filled),
        layers.RandomTranslation(shift, 0.0, **filled),
        layers.RandomTranslation(0.0, shift, **filled),
    )
    changes = (
        layers.RandomBrightness(change, **levels),
        # A single number would only raise the contrast; 0.5 is the sharpness that
        # changes nothing.
        layers.RandomContrast((change, change), **levels),
        layers.RandomSharpness((0.5 - change / 2, 0.5 + change / 2), **levels),
        layers.RandomColorDegeneration(change, **levels),
        layers.RandomPosterization((8 - round(4 * magnitude), 8), **levels),
    )
    return [
        lambda images, seeds: images,
        lambda images, seeds: _solarize(images, seeds, magnitude),
        apply_layer(layers.AutoContrast(**levels)),
        apply_layer(layers.Equalization(**levels)),
        *(_around(fill, apply_layer(layer)) for layer in moves),
        *map(apply_layer, changes),
    ]


def _around(fill, move):
    """An operation that moves pixels, with a colour where it leaves zeros."""
    fill = np.array(fill, "float32")
    return lambda images, seeds: move(images - fill, seeds) + fill


def apply_layer(layer: keras.layers.Layer) -> Callable:
    """A random preprocessing layer as a function of images and a seed generator."""

    def apply(images, seeds):
        transformation = layer.get_random_transformation(
            images, training=True, seed=seeds
        )
        return layer.transform_images(images, transformation, training=True)

    return apply


def rand_augment(image, seed, operations: list[Callable], count: int):
    """Applies random operations to one image, one after the other.

    `keras.layers.RandAugment` isn't used: it computes every operation and keeps
    one, takes the same for all images of a batch, rotates by up to 180 degrees and
    ignores a seed that is passed to it.

    Args:
        image: A float32 tensor `(height, width, 3)` in 0..255.
        seed: What `seed_for` returns.
        operations: What the function of this name returns.
        count: How many are applied.

    Returns:
        A tensor of the same form.
    """
    import tensorflow as tf

    seeds = StatelessSeeds(seed)
    images = image[tf.newaxis]
    for _ in range(count):
        chosen = tf.random.stateless_uniform(
            (), seeds.next(), 0, len(operations), tf.int32
        )
        images = tf.switch_case(
            chosen,
            [
                lambda operation=operation, before=images: operation(before, seeds)
                for operation in operations
            ],
        )
    return tf.ensure_shape(images[0], image.shape)


def _solarize(images, seeds, magnitude):
    # keras.layers.Solarization can't express a threshold near the brightest level,
    # which is what a small magnitude means.
    import tensorflow as tf

    strength = tf.random.stateless_uniform((), seeds.next(), 0, magnitude)
    return tf.where(images < 255 * (1 - strength), images, 255 - images)
