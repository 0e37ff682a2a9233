"""Training steps of models that have their own loss, such as detectors."""

import keras

from keras_sa import keras_hooks
from keras_sa.training.batch_norm import BatchRows
from keras_sa.training.batch_norm import batch_rows
from keras_sa.training.collectives import all_reduce_sum
from keras_sa.training.steps import finished_logs


def has_own_loss(model: keras.Model) -> bool:
    """Whether a model's `compute_loss` is made for replicas.

    Its class says so by `loss_is_of_replica = True`: under a strategy `compute_loss`
    gives this replica's part, so that the sum over the replicas is the loss that one
    device has for the whole batch.
    """
    return getattr(type(model), "loss_is_of_replica", False)


def train_step(model: keras.Model, synchronized: bool, data) -> dict:
    """One update with the gradient of the whole batch's loss.

    Batches are full: no row only pads them.
    """
    import tensorflow as tf

    # Here, not in `prepare`: the model may have been compiled again since.
    keras_hooks.set_updates(model.optimizer)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    count = tf.shape(keras.tree.flatten(x)[0])[0]
    samples = tf.cast(count, tf.float32)
    total = all_reduce_sum(samples) if synchronized else samples
    rows = BatchRows(count, None, total, synchronized)
    with batch_rows(rows), tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
        scaled = model.optimizer.scale_loss(loss)
        weights = model.trainable_weights
        gradients = tape.gradient(scaled, weights)
    reduced = iter(all_reduce_sum([g for g in gradients if g is not None]))
    gradients = [None if g is None else next(reduced) for g in gradients]
    model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return _logs(model, x, y, y_pred, sample_weight, loss)


def test_step(model: keras.Model, data) -> dict:
    """The loss of a batch, in inference mode."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    y_pred = model(x, training=False)
    loss = model.compute_loss(x, y, y_pred, sample_weight, training=False)
    return _logs(model, x, y, y_pred, sample_weight, loss)


def _logs(model, x, y, y_pred, sample_weight, loss):
    import tensorflow as tf

    keras_hooks.loss_tracker(model).update_state(
        all_reduce_sum(loss), sample_weight=tf.shape(x)[0]
    )
    logs = model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    return finished_logs(model, logs)
