"""The objects of one image, without padding."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class ImageTargets:
    """What one image is trained with.

    The last row of each of the first three is nobody: a box without area of the class
    -1, so that no reduction over the objects is ever one over nothing.

    Args:
        boxes: float32 `(objects + 1, 4)`.
        classes: int32 `(objects + 1,)`.
        masks: float32 `(objects + 1, m, m)`, or `None`.
        crowds: float32 `(crowds, 4)`.
        size: float32 `(2,)`, height and width.
    """

    boxes: Any
    classes: Any
    masks: Any
    crowds: Any
    size: Any

    @classmethod
    def of_row(cls, row: dict) -> "ImageTargets":
        """Takes away the padding of one image of a batch of targets.

        Args:
            row: The image's `boxes`, `classes`, `image_size`, and where there are
                some `ignored` and `masks`.
        """
        boxes = tf.cast(row["boxes"], tf.float32)
        classes = tf.cast(row["classes"], tf.int32)
        there = classes >= 0
        ignored = there & row["ignored"] if "ignored" in row else tf.zeros_like(there)
        objects = there & ~ignored
        masks = None
        if "masks" in row:
            masks = tf.boolean_mask(tf.cast(row["masks"], tf.float32), objects)
            masks = tf.pad(masks, [[0, 1], [0, 0], [0, 0]])
        return cls(
            tf.pad(tf.boolean_mask(boxes, objects), [[0, 1], [0, 0]]),
            tf.pad(tf.boolean_mask(classes, objects), [[0, 1]], constant_values=-1),
            masks,
            tf.boolean_mask(boxes, ignored),
            row["image_size"],
        )

    def seed(self, step):
        """Two numbers for random choices, int32 `(2,)`.

        They depend on the objects and the step, not on the image's place in the
        batch: however a batch is spread over devices, an image is sampled alike.

        Args:
            step: int32 scalar.
        """
        units = tf.cast(self.boxes * 16.0, tf.int32)
        number = tf.reduce_sum(units * tf.constant([1, 1009, 1013, 10007]))
        return tf.stack([number, step])


def for_each_image(function, signature, targets: dict, *others):
    """Calls a function on every image of a batch and stacks the results.

    Args:
        function: Takes `ImageTargets` and one row of each of the others.
        signature: The structure that it returns, of `tf.TensorSpec`s.
        targets: The targets of the batch.
        *others: Structures of tensors `(batch, ...)`.

    Returns:
        The structure with a batch axis in front. No gradient goes through it.
    """
    known = ("boxes", "classes", "ignored", "image_size", "masks")
    targets = {name: targets[name] for name in known if name in targets}

    def of_row(rows):
        row, *others = rows
        return function(ImageTargets.of_row(row), *others)

    results = tf.map_fn(
        of_row,
        tf.nest.map_structure(tf.stop_gradient, (targets, *others)),
        # One image after the other: overlaps with all anchors take much memory.
        parallel_iterations=1,
        fn_output_signature=signature,
    )
    return tf.nest.map_structure(tf.stop_gradient, results)
