"""A compiled model's losses, one by one, and what `fit` logs of them."""

import functools

import keras


class ScalarLossError(Exception):
    """A loss that gives one number for a batch, where rows have to be left out."""


def data_loss(model: keras.Model, y, y_pred, sample_weight, present, gather: bool):
    """The compiled loss alone; a mean is divided by the number of replicas.

    Nothing is assigned: what the losses' trackers would be updated with is returned.

    Args:
        model: A compiled model.
        y: Targets of all rows.
        y_pred: Outputs for all rows.
        sample_weight: Of all rows, or `None`.
        present: Float tensor of shape `(rows,)`, 0 for a row that only pads the
            batch and adds nothing to the loss. `None` if there is none.
        gather: Whether a loss that gives one number may be asked again for the rows
            that are present; their number is not known before the step.

    Returns:
        The loss, and a list with the loss of each output if there are several.

    Raises:
        ScalarLossError: If a loss that gives one number would have to be.
    """
    losses = [loss for _, loss, *_ in model._compile_loss._flat_losses or ()]
    for loss in losses:
        call = functools.partial(_call_loss, loss, present, gather)
        object.__setattr__(loss, "call", call)
    trackers = model._compile_loss.metrics
    values = []
    for tracker in trackers:
        object.__setattr__(
            tracker, "update_state", lambda value, **_: values.append(value)
        )
    try:
        return model._compile_loss(y, y_pred, sample_weight), values
    finally:
        for loss in losses:
            loss.__dict__.pop("call", None)
        for tracker in trackers:
            tracker.__dict__.pop("update_state", None)


def _call_loss(loss, present, gather, y_true, y_pred):
    import tensorflow as tf

    values = tf.convert_to_tensor(type(loss).call(loss, y_true, y_pred))
    if values.shape.rank == 0:
        if present is not None:
            if not gather:
                raise ScalarLossError
            kept = tf.where(present > 0)[:, 0]
            y_true, y_pred = keras.tree.map_structure(
                lambda value: tf.gather(value, kept), (y_true, y_pred)
            )
            values = tf.convert_to_tensor(type(loss).call(loss, y_true, y_pred))
            # A mean over no samples is no number.
            values = tf.where(tf.size(kept) > 0, values, tf.zeros_like(values))
            if loss.reduction != "sum":
                # Of every sample, for Keras' mean over the rows.
                return tf.where(present > 0, values, tf.zeros_like(values))
        # Keras scales only vectors for replicas.
        return tf.reshape(values, (1,))
    if present is None:
        return values
    here = tf.reshape(present > 0, [-1] + [1] * (values.shape.rank - 1))
    return tf.where(here, values, tf.zeros_like(values))


def update_loss_trackers(model: keras.Model, values: list, count) -> None:
    """Updates what `fit` logs for the outputs.

    Args:
        model: A compiled model.
        values: The mean loss of each output over the replica's samples.
        count: Float scalar, the number of samples: Keras weighs by the static batch
            size.
    """
    for tracker, value in zip(model._compile_loss.metrics, values, strict=False):
        # A mean over no samples is no number.
        value = keras.ops.where(count > 0, value, keras.ops.zeros_like(value))
        tracker.update_state(value, sample_weight=count)


def additional_losses(model: keras.Model) -> list:
    """Regularisers and `add_loss`, each divided by the number of replicas."""
    return [model._aggregate_additional_loss(loss) for loss in model.losses]


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """The metric that `fit` logs as `loss`."""
    return model._loss_tracker
