"""Random choices of candidates that don't depend on where they are made."""

from dataclasses import dataclass

import tensorflow as tf

from keras_sa.detection.matching import BACKGROUND


@dataclass(frozen=True)
class Sampler:
    """Chooses a fixed number of candidates.

    Args:
        count: How many.
        positive: The largest part of them that may stand for objects. Background
            fills the rest.
    """

    count: int
    positive: float

    @property
    def max_positives(self) -> int:
        return int(self.count * self.positive)

    def sample(self, matches, seed):
        """Chooses candidates at random.

        Args:
            matches: int32 `(n,)`, see `Matcher.match`.
            seed: int32 `(2,)`.

        Returns:
            `(indices, valid)`, int32 and bool `(count,)`: candidates that stand for
            objects come first. Where there are too few candidates, `valid` is false.
        """
        missing = tf.maximum(self.count - tf.shape(matches)[0], 0)
        lots = tf.random.stateless_uniform(tf.shape(matches), seed)
        positives = tf.where(matches >= 0, lots, -1.0)
        positives = tf.pad(positives, [[0, missing]], constant_values=-1.0)
        drawn, indices = tf.math.top_k(positives, self.max_positives)
        background = tf.where(matches == BACKGROUND, lots, -1.0)
        background = tf.pad(background, [[0, missing]], constant_values=-1.0)
        more_drawn, more = tf.math.top_k(background, self.count)
        # All drawn positives, then background, then what is neither.
        drawn = tf.concat([tf.where(drawn >= 0, drawn + 1.0, -1.0), more_drawn], 0)
        indices = tf.concat([indices, more], 0)
        drawn, order = tf.math.top_k(drawn, self.count)
        valid = drawn >= 0
        return tf.where(valid, tf.gather(indices, order), 0), valid
