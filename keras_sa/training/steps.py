"""Training, test and prediction steps that give one device's result on many.

They run once in every replica. A row of the batch whose sample weights are all zero
is padding: it counts in no mean, no metric and no batch statistic.
"""

from dataclasses import dataclass
from typing import Any

import keras

from keras_sa import keras_hooks
from keras_sa.training.batch_norm import BatchRows
from keras_sa.training.batch_norm import batch_rows
from keras_sa.training.collectives import all_reduce_sum

MEANS = {"mean", "sum_over_batch_size"}
WEIGHTED_MEAN = "mean_with_sample_weight"


@dataclass(frozen=True)
class Batch:
    """One replica's part of a batch.

    Args:
        x: The network's input, at least one row.
        y: Targets of the samples, without padding.
        weights: Sample weights of the samples, without padding, or `None`.
        rows: Number of rows of `x`.
        present: Float tensor `(rows,)`, 0 for padding, or `None` without padding.
        samples: A function that takes the samples' rows out of an output.
        count: Float scalar, the number of samples.
    """

    x: Any
    y: Any
    weights: Any
    rows: Any
    present: Any
    samples: Any
    count: Any


def unpack(data) -> Batch:
    """Separates samples from padding and pads an empty batch to one row.

    Convolutions crash on empty batches, which replicas get when the last batch of an
    epoch is too small for all of them.
    """
    import tensorflow as tf

    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    first = keras.tree.flatten(x)[0]
    if weights is None and first.shape[0]:
        rows = first.shape[0]
        return Batch(x, y, None, rows, None, lambda v: v, tf.constant(float(rows)))

    found = tf.shape(first)[0]
    rows = tf.maximum(found, 1)
    padding = rows - found

    def pad(value):
        return tf.pad(value, [[0, padding]] + [[0, 0]] * (value.shape.rank - 1))

    x = keras.tree.map_structure(
        lambda v: tf.cond(padding > 0, lambda: pad(v), lambda: v), x
    )
    if weights is None:
        kept = tf.range(found)
        present = pad(tf.ones([found]))
    else:
        present = pad(tf.cast(_has_weight(weights), tf.float32))
        kept = tf.where(present > 0)[:, 0]

    def samples(value):
        return keras.tree.map_structure(lambda v: tf.gather(v, kept), value)

    return Batch(
        x,
        None if y is None else samples(y),
        None if weights is None else samples(weights),
        rows,
        present,
        samples,
        tf.reduce_sum(present),
    )


def _has_weight(weights):
    import tensorflow as tf

    present = [
        tf.reduce_any(tf.not_equal(w, 0), axis=list(range(1, w.shape.rank)))
        for w in keras.tree.flatten(weights)
        if w is not None
    ]
    return tf.reduce_any(tf.stack(present), 0)


def local_loss(model, batch, y_pred, total):
    """This replica's part of the loss: the parts' sum is one device's loss.

    Args:
        model: A compiled model, called already on the batch.
        batch: The replica's batch.
        y_pred: The network's output for the samples.
        total: Number of samples in all replicas' batches.
    """
    import tensorflow as tf

    losses = keras_hooks.additional_losses(model)
    if model.loss is not None:
        loss = keras_hooks.data_loss(model, batch.y, y_pred, batch.weights, batch.count)
        part = _part(model, batch, total, loss.dtype)
        # Without samples the part is 0, and a mean over them is no number.
        losses.append(tf.math.multiply_no_nan(tf.reduce_sum(loss), part))
    if not losses:
        raise ValueError(
            "There is no loss: compile the model with `loss=...`. "
            f"Received: model={model.name!r}"
        )
    return tf.add_n([tf.cast(loss, losses[-1].dtype) for loss in losses])


def _part(model, batch, total, dtype):
    """What makes the replica's loss its part of the whole batch's loss."""
    import tensorflow as tf

    reductions = {
        getattr(loss, "reduction", "mean")
        for loss in keras.tree.flatten(model.loss)
        if loss is not None
    }
    if reductions == {"sum"}:
        return tf.ones([], dtype)
    means = MEANS if batch.weights is not None else MEANS | {WEIGHTED_MEAN}
    if reductions <= means:
        part, whole = batch.count, total
    elif reductions == {WEIGHTED_MEAN}:
        part = tf.reduce_sum(tf.cast(batch.weights, dtype))
        whole = all_reduce_sum(part)
    else:
        raise ValueError(
            "All losses must be of one kind to be distributed, means over the batch "
            f"or sums. Received: reductions={sorted(map(str, reductions))}"
        )
    # Keras has divided the mean over the replica's samples by the replicas.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return tf.math.divide_no_nan(tf.cast(part, dtype) * replicas, tf.cast(whole, dtype))


def train_step(model: keras.Model, synchronized: bool, data) -> dict:
    """One update with the gradient of the whole batch's loss."""
    import tensorflow as tf

    # Here, not in `prepare`: the model may have been compiled again since.
    keras_hooks.set_updates(model.optimizer)
    batch = unpack(data)
    total = all_reduce_sum(batch.count)
    rows = BatchRows(
        batch.rows, batch.present, total if synchronized else batch.count, synchronized
    )
    with batch_rows(rows), tf.GradientTape() as tape:
        y_pred = batch.samples(model(batch.x, training=True))
        loss = local_loss(model, batch, y_pred, total)
        scaled = model.optimizer.scale_loss(loss)
        weights = model.trainable_weights
        gradients = tape.gradient(scaled, weights)
    found = [g for g in gradients if g is not None]
    reduced = iter(all_reduce_sum(found))
    gradients = [None if g is None else next(reduced) for g in gradients]
    model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return _log(model, batch, y_pred, all_reduce_sum(loss))


def test_step(model: keras.Model, data) -> dict:
    """Loss and metrics of a batch, in inference mode."""
    batch = unpack(data)
    y_pred = batch.samples(model(batch.x, training=False))
    loss = local_loss(model, batch, y_pred, all_reduce_sum(batch.count))
    return _log(model, batch, y_pred, all_reduce_sum(loss))


def predict_step(model: keras.Model, data):
    """The network's output for the samples of a batch."""
    batch = unpack(data)
    return batch.samples(model(batch.x, training=False))


def _log(model, batch, y_pred, loss):
    keras_hooks.loss_tracker(model).update_state(loss, sample_weight=batch.count)
    logs = model.compute_metrics(batch.x, batch.y, y_pred, sample_weight=batch.weights)
    return finished_logs(model, logs)


def finished_logs(model: keras.Model, logs: dict) -> dict:
    """A step's logs as Keras wants them under the model's strategy."""
    import tensorflow as tf

    if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # Keras averages over the first axis there.
        logs = {name: tf.reshape(value, [1]) for name, value in logs.items()}
    return logs
