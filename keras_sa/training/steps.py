"""Training, test and prediction steps that give one device's result on many.

They run once in every replica. A row of the batch whose sample weights are all zero
is padding: it counts in no mean, no metric and no batch statistic.
"""

from typing import Any

import keras

from keras_sa import keras_hooks
from keras_sa.training.collectives import all_reduce_sum
from keras_sa.training.compiled import Compilation
from keras_sa.training.replica_batch import unpack
from keras_sa.training.replica_work import LossScale
from keras_sa.training.replica_work import compute

MEANS = {"mean", "sum_over_batch_size"}
WEIGHTED_MEAN = "mean_with_sample_weight"


def train_step(compilation: Compilation, data) -> dict:
    """One update with the gradient of the whole batch's loss."""
    import tensorflow as tf

    model = compilation.model
    # Here, not in `prepare`: the model may have been compiled again since.
    keras_hooks.set_updates(model.optimizer, jit=compilation.wanted)
    batch = _unpack(compilation, "train", data)
    total = all_reduce_sum(batch.count)
    samples = total if compilation.synchronized else batch.count
    one = tf.ones([], keras.config.floatx())
    gradient = tf.convert_to_tensor(model.optimizer.scale_loss(one))
    scale = LossScale(*_factors(model, batch, total), gradient, samples)
    outcome = compute(compilation, "train", batch, scale)
    outcome.assign_updates()
    found = [g for g in outcome.gradients if g is not None]
    reduced = iter(all_reduce_sum(found))
    gradients = [None if g is None else next(reduced) for g in outcome.gradients]
    weights = model.trainable_weights
    model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return _log(model, batch, outcome)


def test_step(compilation: Compilation, data) -> dict:
    """Loss and metrics of a batch, in inference mode."""
    model = compilation.model
    batch = _unpack(compilation, "test", data)
    total = all_reduce_sum(batch.count)
    scale = LossScale(*_factors(model, batch, total), gradient=total, samples=total)
    outcome = compute(compilation, "test", batch, scale)
    outcome.assign_updates()
    return _log(model, batch, outcome)


def predict_step(compilation: Compilation, data):
    """The network's output for the samples of a batch."""
    batch = _unpack(compilation, "predict", data)
    outcome = compute(compilation, "predict", batch)
    outcome.assign_updates()
    return batch.samples(outcome.y_pred)


def _unpack(compilation, kind, data):
    # Without XLA padding to the full batch would be for nothing.
    return unpack(data, compilation.full[kind] if compilation.uses_xla() else None)


def _factors(model, batch, total) -> tuple[Any, Any, Any]:
    """What makes the loss of the replica's rows its part of the whole batch's loss.

    Returns:
        This factor, the one that makes it the mean over the replica's samples, and the
        one of what layers add to the loss.
    """
    import tensorflow as tf

    dtype = keras.config.floatx()
    one = tf.ones([], dtype)
    reductions = {
        getattr(loss, "reduction", "mean")
        for loss in keras.tree.flatten(model.loss)
        if loss is not None
    }
    count, total = tf.cast(batch.count, dtype), tf.cast(total, dtype)
    # Keras has divided the mean over the replica's rows by the replicas.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    # Without a sample, weights are regularised all the same.
    share = tf.where(total > 0, count * replicas / total, one)
    if reductions == {"sum"}:
        return one, one, share
    means = MEANS if batch.weights is not None else MEANS | {WEIGHTED_MEAN}
    if reductions <= means:
        rows = count
        if batch.present is not None:
            rows = tf.cast(tf.size(batch.present), dtype)
        return (
            tf.math.divide_no_nan(rows * replicas, total),
            tf.math.divide_no_nan(rows, count),
            share,
        )
    if reductions == {WEIGHTED_MEAN}:
        part = tf.reduce_sum(tf.cast(batch.weights, dtype))
        part = tf.math.divide_no_nan(part * replicas, all_reduce_sum(part))
        return part, one, share
    raise ValueError(
        "All losses must be of one kind to be distributed, means over the batch "
        f"or sums. Received: reductions={sorted(map(str, reductions))}"
    )


def _log(model, batch, outcome):
    loss = all_reduce_sum(outcome.loss)
    keras_hooks.update_loss_trackers(model, outcome.outputs, batch.count)
    keras_hooks.loss_tracker(model).update_state(loss, sample_weight=batch.count)
    logs = model.compute_metrics(
        batch.x,
        batch.y_of_samples,
        batch.samples(outcome.y_pred),
        sample_weight=batch.weights_of_samples,
    )
    return finished_logs(model, logs)


def finished_logs(model: keras.Model, logs: dict) -> dict:
    """A step's logs as Keras wants them under the model's strategy."""
    import tensorflow as tf

    if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # Keras averages over the first axis there.
        logs = {name: tf.reshape(value, [1]) for name, value in logs.items()}
    return logs
