"""What is replaced in a model and its layers, and what is read of them."""

import functools
from collections.abc import Callable

import keras


def layers_of(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """All layers of a class, also those of nested models."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def operations_of(model: keras.Model) -> list:
    """All layers in a model, and the other operations of functional models."""
    found = {}
    for layer in model._flatten_layers(include_self=False):
        found[id(layer)] = layer
    for each in (model, *list(found.values())):
        if isinstance(each, keras.Function):
            found.update((id(o), o) for o in each.operations)
    return list(found.values())


def source_of(tensor: keras.KerasTensor):
    """The layer or operation of which a symbolic tensor is the output."""
    return tensor._keras_history.operation


def set_moments(
    layer: keras.layers.BatchNormalization, moments: Callable | None
) -> None:
    """Replaces how a batch norm takes its batch's mean and variance.

    Args:
        layer: The layer.
        moments: A function of `(layer, inputs)`, which returns mean and variance of
            shape `(channels,)`, or `None` to have Keras take them. `None` restores
            Keras' own.
    """
    layer.__dict__.pop("_moments", None)
    if moments is None:
        return
    keras_moments = layer._moments
    if type(layer)._moments is not keras.layers.BatchNormalization._moments:
        raise ValueError(
            f"{type(layer).__name__} has its own batch statistics, which can't be "
            f"synchronised. Received: layer={layer.name!r}"
        )

    def masked_moments(inputs, mask):
        if mask is not None:
            raise ValueError(
                "Batch norms with a mask can't be trained with keras_sa.training. "
                f"Received: layer={layer.name!r}, mask={mask}"
            )
        return moments(layer, inputs) or keras_moments(inputs, None)

    object.__setattr__(layer, "_moments", masked_moments)


def set_seeds(model: keras.Model, offset: Callable) -> None:
    """Moves the seeds that the model's random layers draw from.

    Args:
        model: A model with dropout, noise or augmentation in it.
        offset: A function without arguments that returns what is added to a seed.
    """
    for layer in layers_of(model, keras.layers.Layer):
        for generator in layer._seed_generators:
            generator.__dict__.pop("next", None)
            draw = generator.next

            def next_seed(ordered=True, draw=draw):
                seed = draw(ordered)
                return seed + keras.ops.cast([offset(), 0], seed.dtype)

            object.__setattr__(generator, "next", next_seed)


def reduction_axes(layer: keras.layers.BatchNormalization) -> list[int]:
    """The axes over which a batch norm takes its statistics."""
    return layer._reduction_axes


def data_loss(model: keras.Model, y, y_pred, sample_weight, count):
    """The compiled loss alone; a mean is divided by the number of replicas.

    Args:
        model: A compiled model.
        y: Targets of the samples.
        y_pred: Outputs for the samples.
        sample_weight: Of the samples, or `None`.
        count: Float scalar, the number of samples: by it the losses of several
            outputs are averaged, which Keras does by the static batch size.
    """
    for _, loss, *_ in model._compile_loss._flat_losses or ():
        _set_vector(loss)
    trackers = model._compile_loss.metrics
    for tracker in trackers:
        update = functools.partial(_update_by_count, tracker, count)
        object.__setattr__(tracker, "update_state", update)
    try:
        return model._compile_loss(y, y_pred, sample_weight)
    finally:
        for tracker in trackers:
            tracker.__dict__.pop("update_state", None)


def _set_vector(loss):
    """Makes a scalar loss a vector of one: Keras scales only vectors for replicas."""
    if loss is None or "call" in vars(loss):
        return

    def call(y_true, y_pred):
        values = keras.ops.convert_to_tensor(type(loss).call(loss, y_true, y_pred))
        return keras.ops.reshape(values, (1,)) if values.shape.rank == 0 else values

    object.__setattr__(loss, "call", call)


def _update_by_count(tracker, count, value, sample_weight=None):
    # A mean over no samples is no number.
    value = keras.ops.where(count > 0, value, keras.ops.zeros_like(value))
    type(tracker).update_state(tracker, value, sample_weight=count)


def additional_losses(model: keras.Model) -> list:
    """Regularisers and `add_loss`, each divided by the number of replicas."""
    return [model._aggregate_additional_loss(loss) for loss in model.losses]


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """The metric that `fit` logs as `loss`."""
    return model._loss_tracker


def build_from_spec(model: keras.Model, element_spec) -> None:
    """Builds metrics, loss and optimizer for batches of this `element_spec`.

    Args:
        model: A compiled model.
        element_spec: Of a `tf.data.Dataset` or a distributed one.
    """
    import tensorflow as tf

    # A value that is spread over replicas has one component for each.
    batch = keras.tree.map_structure(
        lambda spec: tf.nest.flatten(spec, expand_composites=True)[0], element_spec
    )
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=batch)


def global_batch_size(dataset) -> int | None:
    """The batch size of a `tf.data.Dataset`, `None` if it does not tell."""
    from tensorflow.python.data.experimental.ops.distribute import compute_batch_size

    size = int(compute_batch_size(dataset))
    return size if size > 0 else None


def set_building(model: keras.Model) -> None:
    """Makes `fit`, `evaluate` and `predict` build from the data's specification."""

    def build(iterator=None, data_batch=None):
        if iterator is None:
            with model.distribute_strategy.scope():
                model._symbolic_build(data_batch=data_batch)
        else:
            build_from_spec(model, iterator._get_iterator().element_spec)

    object.__setattr__(model, "_maybe_symbolic_build", build)


def set_steps(model: keras.Model, **steps: Callable) -> None:
    """Replaces `train_step`, `test_step` and `predict_step` of one model."""
    for name, step in steps.items():
        # Not by setattr, which would look for layers in it.
        object.__setattr__(model, name, step)
    model.train_function = model.test_function = model.predict_function = None
