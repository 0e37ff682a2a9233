"""The second stage of the R-CNNs: what a proposal is trained to be."""

from dataclasses import dataclass

import tensorflow as tf

from keras_sa.detection import boxes as boxes_
from keras_sa.detection.heads import MASK_SIZE
from keras_sa.detection.image_targets import for_each_image
from keras_sa.detection.mask_targets import mask_targets
from keras_sa.detection.matching import Matcher
from keras_sa.detection.sampling import Sampler

# Units of the deltas: shifts and scales of proposals are small.
STD = (0.1, 0.1, 0.2, 0.2)


@dataclass(frozen=True)
class RegionStage:
    """Chooses proposals to train with, the objects themselves among them.

    Args:
        classes: Number of classes; the background has the next number.
        sampler: How many are chosen.
        matcher: Which objects they stand for.
    """

    classes: int
    sampler: Sampler
    matcher: Matcher = Matcher(positive=0.5, negative=0.5)

    def choose(self, targets: dict, proposals, step, masks: bool) -> dict:
        """Chooses regions and says what they should be.

        Args:
            targets: The batch's targets.
            proposals: `(batch, n, 4)`.
            step: Number of the step, for random choices.
            masks: Whether masks are trained.

        Returns:
            A dict of `boxes` `(batch, count, 4)`, `classes`, `valid` and `positive`
            `(batch, count)`, `deltas` `(batch, count, 4)`, and `masks`
            `(batch, max_positives, 28, 28)`. What stands for objects comes first.
        """
        count, positives = self.sampler.count, self.sampler.max_positives

        def choose_of(image, proposals):
            candidates = tf.concat([image.boxes, proposals], 0)
            matches = self.matcher.match(candidates, image)
            # Other lots than those of the anchors.
            seed = image.seed(step) + [0, 1 << 30]
            indices, valid = self.sampler.sample(matches, seed)
            boxes = tf.gather(candidates, indices)
            matches = tf.gather(matches, indices)
            positive = valid & (matches >= 0)
            objects = tf.maximum(matches, 0)
            classes = tf.gather(image.classes, objects)
            wanted = tf.gather(image.boxes, objects)
            chosen = {
                "boxes": boxes,
                "classes": tf.where(positive, classes, self.classes),
                "valid": valid,
                "positive": positive,
                "deltas": boxes_.encode(wanted, boxes, STD),
            }
            if masks:
                first = objects[:positives]
                chosen["masks"] = mask_targets(
                    tf.gather(image.masks, first),
                    tf.gather(image.boxes, first),
                    boxes[:positives],
                )
            return chosen

        signature = {
            "boxes": tf.TensorSpec((count, 4), tf.float32),
            "classes": tf.TensorSpec((count,), tf.int32),
            "valid": tf.TensorSpec((count,), tf.bool),
            "positive": tf.TensorSpec((count,), tf.bool),
            "deltas": tf.TensorSpec((count, 4), tf.float32),
        }
        if masks:
            shape = (positives, MASK_SIZE, MASK_SIZE)
            signature["masks"] = tf.TensorSpec(shape, tf.float32)
        return for_each_image(choose_of, signature, targets, proposals)
