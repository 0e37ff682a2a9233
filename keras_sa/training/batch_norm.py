"""Batch statistics over all replicas that leave out padding."""

import contextlib
import threading
from dataclasses import dataclass
from typing import Any

import keras

from keras_sa import keras_hooks
from keras_sa.training.collectives import all_reduce_sum

# Replicas are traced in threads of their own, which take turns.
_replica = threading.local()


@dataclass(frozen=True)
class BatchRows:
    """Which rows of a replica's batch hold samples.

    Args:
        rows: The number of rows, with padding.
        present: Float tensor of shape `(rows,)`, 1 for a sample and 0 for padding,
            or `None` if all rows are samples.
        total: Float scalar, the number of samples in the batches of all replicas,
            or in this replica's if not `synchronized`.
        synchronized: Whether statistics are taken over all replicas.
    """

    rows: Any
    present: Any
    total: Any
    synchronized: bool


@contextlib.contextmanager
def batch_rows(rows: BatchRows):
    """Tells the batch norms that are called inside about the batch."""
    _replica.rows = rows
    try:
        yield
    finally:
        _replica.rows = None


def moments(layer: keras.layers.BatchNormalization, inputs, variances=None):
    """Mean and variance of shape `(channels,)` over the samples of the batch.

    The variance is the mean squared distance to the mean of all replicas. Keras'
    synchronised batch norm takes `E[x^2] - E[x]^2`, which cancels for large means.

    Args:
        layer: The layer that asks.
        inputs: Its inputs, at least float32, the batch's axis first. If the network
            has folded more axes into the first one, its length is a multiple of the
            batch's rows.
        variances: If the inputs are the means of maps, the variances within these,
            of the inputs' shape.

    Returns:
        Mean and variance, or `None` outside of `batch_rows`.
    """
    import tensorflow as tf

    rows = getattr(_replica, "rows", None)
    if rows is None:
        return None
    axes = [axis for axis in keras_hooks.reduction_axes(layer) if axis != 0]
    channels = inputs.shape[layer.axis]
    # How many values of a channel belong to one row of the batch.
    size = tf.size(inputs, tf.int64)
    positions = size // (tf.cast(rows.rows, tf.int64) * channels)
    count = tf.cast(rows.total, inputs.dtype) * tf.cast(positions, inputs.dtype)

    def mean_over_batch(x):
        x = tf.reduce_sum(x, axes)
        if rows.present is not None:
            present = tf.cast(rows.present, x.dtype)[None]
            x = tf.matmul(present, tf.reshape(x, [rows.rows, -1]))
            x = tf.reshape(x, [-1, channels])
        x = tf.reduce_sum(x, 0)
        if rows.synchronized:
            x = all_reduce_sum(x)
        return tf.math.divide_no_nan(x, count)

    broadcast = [1] * inputs.shape.rank
    broadcast[layer.axis] = -1
    mean = mean_over_batch(inputs)
    # The derivative by the mean is the sum of the distances to it: zero.
    centre = tf.stop_gradient(tf.reshape(mean, broadcast))
    distances = tf.math.squared_difference(inputs, centre)
    variance = mean_over_batch(
        distances if variances is None else distances + variances
    )
    usable = count > 0
    if layer.compute_dtype == "float16":
        # An overflow must not stay in the moving averages: the step is skipped.
        usable &= tf.math.is_finite(mean) & tf.math.is_finite(variance)
    mean = tf.where(usable, mean, tf.cast(layer.moving_mean, mean.dtype))
    variance = tf.where(
        usable, variance, tf.cast(layer.moving_variance, variance.dtype)
    )
    return mean, variance
