"""MixUp and CutMix with Keras' layers."""

from collections.abc import Callable

import keras

from keras_sa.data.stateless_seeds import MIXING
from keras_sa.data.stateless_seeds import StatelessSeeds
from keras_sa.data.stateless_seeds import seed_for

# Images are mixed within groups of this many neighbours of the global batch, not
# within whatever part of it a worker happens to have: so the result does not depend
# on the number of workers.
GROUP = 16
# A step has fewer groups than this.
_GROUPS_PER_STEP = 2**20


class Mixing:
    """Mixes the images of a batch with each other, and their labels alike.

    Args:
        mixup: Alpha of MixUp in 0..1; 0 is off.
        cutmix: Alpha of CutMix in 0..1; 0 is off.
        seed: The data's seed.
    """

    def __init__(self, mixup: float, cutmix: float, seed: int):
        self.seed = seed
        self.layers: list[Callable] = []
        if mixup:
            self.layers.append(keras.layers.MixUp(mixup, dtype="float32"))
        if cutmix:
            # The range has to be given: a single number would be its upper end.
            self.layers.append(keras.layers.CutMix((cutmix, cutmix), dtype="float32"))

    def __call__(self, images, labels, epoch, step, first_row: int):
        """Mixes within the groups of some rows of a global batch.

        Each group gets one of the layers.

        Args:
            images: float32 `(rows, height, width, channels)`.
            labels: float32 `(rows, classes)`.
            epoch: The epoch.
            step: The step in it.
            first_row: Where in the global batch the rows begin; a multiple of
                `GROUP`.

        Returns:
            The images and the labels.
        """
        import tensorflow as tf

        mixed = []
        for start in range(0, images.shape[0], GROUP):
            number = step * _GROUPS_PER_STEP + (first_row + start) // GROUP
            seeds = StatelessSeeds(seed_for(MIXING, self.seed, epoch, number))
            group = (
                images[start : start + GROUP],
                labels[start : start + GROUP],
                seeds,
            )
            chosen = tf.random.stateless_uniform(
                (), seeds.next(), 0, len(self.layers), tf.int32
            )
            mixed.append(
                tf.switch_case(
                    chosen,
                    [
                        lambda layer=layer, group=group: _mix(layer, *group)
                        for layer in self.layers
                    ],
                )
            )
        return tuple(tf.concat(parts, 0) for parts in zip(*mixed, strict=True))


def _mix(layer, images, labels, seeds):
    transformation = layer.get_random_transformation(images, training=True, seed=seeds)
    return (
        layer.transform_images(images, transformation, training=True),
        layer.transform_labels(labels, transformation, training=True),
    )
