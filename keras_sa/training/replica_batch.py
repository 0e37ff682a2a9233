"""One replica's part of a batch: what is a sample and what only pads."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Batch:
    """One replica's part of a batch.

    A row that only pads the batch has no weight. It is a copy of a sample if there is
    one, so that nothing that is computed of it is infinite.

    Args:
        x: The network's input, at least one row.
        y: Targets of all rows.
        weights: Sample weights of all rows, or `None`.
        present: Float tensor `(rows,)`, 0 for padding, or `None` without padding.
        count: Float scalar, the number of samples.
        samples: A function that takes the samples' rows out of an output.
        y_of_samples: Targets of the samples.
        weights_of_samples: Sample weights of the samples, or `None`.
    """

    x: Any
    y: Any
    weights: Any
    present: Any
    count: Any
    samples: Any
    y_of_samples: Any
    weights_of_samples: Any


class FullBatch:
    """The number of rows of a full batch, learnt from the batches.

    Shorter batches are padded to it, so that XLA compiles one shape. It is no part of
    the model: it belongs to this process and this call of `fit`.
    """

    def __init__(self):
        import tensorflow as tf

        with tf.init_scope(), tf.device("CPU:0"):
            # Sizes of tensors are on the CPU.
            self._rows = tf.Variable(1, trainable=False, dtype=tf.int64)

    def begin(self, rows: int = 1) -> None:
        """Forgets what was learnt.

        Args:
            rows: How many rows of a replica are known to be in a full batch.
        """
        self._rows.assign(rows)

    def rows(self, found):
        """How many rows a batch with `found` rows must have."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            rows = tf.maximum(self._rows, tf.cast(found, tf.int64))
            self._rows.assign(rows)
            return tf.cast(rows, tf.int32)


def unpack(data, full: FullBatch | None) -> Batch:
    """Separates samples from padding and pads a short batch.

    Convolutions crash on empty batches, which replicas get when the last batch of an
    epoch is too small for all of them.

    Args:
        data: What Keras hands to a step.
        full: How many rows there must be. `None`: at least one.
    """
    import tensorflow as tf

    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    first = keras.tree.flatten(x)[0]
    if weights is None and first.shape[0]:
        if full is not None:
            full.rows(first.shape[0])
        count = tf.constant(float(first.shape[0]))
        return Batch(x, y, None, None, count, lambda v: v, y, None)

    found = tf.shape(first)[0]
    rows = tf.maximum(found, 1) if full is None else full.rows(found)
    padding = rows - found

    def pad(value):
        return tf.pad(value, [[0, padding]] + [[0, 0]] * (value.shape.rank - 1))

    present = tf.ones([found]) if weights is None else _has_weight(weights)
    kept = tf.where(present > 0)[:, 0]
    present = pad(present)
    count = tf.reduce_sum(present)
    whole = tf.equal(tf.size(kept), rows)
    some = tf.size(kept) > 0
    sources = tf.where(present > 0, tf.range(rows), tf.argmax(present, 0, tf.int32))

    def fill(value):
        return tf.cond(whole, lambda: value, lambda: tf.gather(pad(value), sources))

    def fill_target(value):
        filled = fill(value)
        # Without a sample the targets may be none, such as a class of -1.
        return tf.where(some, filled, tf.zeros_like(filled))

    def samples(value):
        return _map(lambda v: tf.gather(v, kept), value)

    return Batch(
        _map(fill, x),
        _map(fill_target, y),
        _map(pad, weights),
        present,
        count,
        samples,
        samples(y),
        samples(weights),
    )


def _map(function, values):
    return keras.tree.map_structure(
        lambda v: None if v is None else function(v), values
    )


def _has_weight(weights):
    """1 for each row of which a weight is not zero."""
    import tensorflow as tf

    present = [
        tf.reduce_any(tf.not_equal(w, 0), axis=list(range(1, w.shape.rank)))
        for w in keras.tree.flatten(weights)
        if w is not None
    ]
    return tf.cast(tf.reduce_any(tf.stack(present), 0), tf.float32)
