"""Which object a candidate box stands for."""

from dataclasses import dataclass

import tensorflow as tf

from keras_sa.detection.boxes import areas
from keras_sa.detection.boxes import covered
from keras_sa.detection.boxes import overlaps
from keras_sa.detection.image_targets import ImageTargets

BACKGROUND = -1
IGNORED = -2


@dataclass(frozen=True)
class Matcher:
    """Matches candidates with objects by their intersection over union.

    Args:
        positive: A candidate stands for the object it overlaps most, from this
            overlap on.
        negative: Under this overlap with all objects it is background. Between the
            two it is ignored.
        low_quality: If given, the best candidates of each object stand for it from
            this overlap on, whatever else they overlap.
    """

    positive: float
    negative: float
    low_quality: float | None = None

    def match(self, candidates, targets: ImageTargets):
        """The index of each candidate's object.

        Args:
            candidates: Boxes `(n, 4)`. Those without area are ignored.
            targets: The objects of the image.

        Returns:
            int32 `(n,)`: an index of `targets.boxes`, `BACKGROUND` or `IGNORED`.
        """
        found = overlaps(candidates, targets.boxes)
        best = tf.reduce_max(found, 1)
        matches = tf.argmax(found, 1, tf.int32)
        matches = tf.where(best >= self.positive, matches, IGNORED)
        matches = tf.where(best < self.negative, BACKGROUND, matches)
        if self.low_quality is not None:
            of_object = tf.reduce_max(found, 0)
            wanted = (found == of_object) & (found > 0)
            wanted &= of_object >= self.low_quality
            # Of two objects with the same best candidate the later one takes it.
            number = tf.range(1, tf.shape(found)[1] + 1)
            last = tf.reduce_max(tf.where(wanted, number, 0), 1)
            matches = tf.where(last > 0, last - 1, matches)
        in_crowd = tf.reduce_any(covered(candidates, targets.crowds) >= 0.5, 1)
        ignored = (in_crowd & (matches < 0)) | (areas(candidates) <= 0)
        return tf.where(ignored, IGNORED, matches)
