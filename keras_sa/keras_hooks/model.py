"""What is replaced in a model and its layers, and what is read of them."""

import functools
from collections.abc import Callable
from contextlib import contextmanager

import keras

_ABSENT = object()


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


@contextmanager
def replaced(replacements: list[tuple]):
    """Replaces attributes for a time, past Keras' tracking of them.

    Args:
        replacements: Tuples of an object, the attribute's name and its new value.
    """
    before = [
        (owner, name, vars(owner).get(name, _ABSENT)) for owner, name, _ in replacements
    ]
    try:
        for owner, name, value in replacements:
            vars(owner)[name] = value
        yield
    finally:
        for owner, name, value in before:
            if value is _ABSENT:
                vars(owner).pop(name, None)
            else:
                vars(owner)[name] = value


def activation_functions():
    """The module whose `softmax`, `sigmoid` and the like all of Keras calls."""
    from keras.src import backend

    return backend.nn


def source_of(tensor: keras.KerasTensor):
    """The layer or operation of which a symbolic tensor is the output."""
    return tensor._keras_history.operation


def set_moments(
    layer: keras.layers.BatchNormalization, moments: Callable | None
) -> None:
    """Replaces how a batch norm takes its batch's mean and variance.

    Args:
        layer: The layer.
        moments: A function of `(layer, inputs, variances=None)`, which returns mean
            and variance of shape `(channels,)`, or `None` to have Keras take them.
            With variances, the inputs are the means of maps, and the variances are
            those within the maps. `None` restores Keras' own.
    """
    layer.__dict__.pop("_moments", None)
    layer.__dict__.pop("batch_moments", None)
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
    # That of `keras_sa.layers.BatchNormalization`, which has the samples' moments.
    if hasattr(layer, "batch_moments"):
        own_moments = layer.batch_moments

        def batch_moments(means, variances):
            found = moments(layer, means, variances)
            return found or own_moments(means, variances)

        object.__setattr__(layer, "batch_moments", batch_moments)


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


def set_functions(model: keras.Model, begin: Callable[[str], None], jit) -> None:
    """Makes steps compile a part of themselves instead of being compiled whole.

    Args:
        model: A compiled model.
        begin: Called with `"train"`, `"test"` or `"predict"` when a `fit`, an
            `evaluate` or a `predict` begins.
        jit: Whether Keras may compile a whole step as the model says.
    """
    for kind in ("train", "test", "predict"):

        def make(force=False, kind=kind):
            begin(kind)
            wanted, before = model.jit_compile, model.train_function
            object.__setattr__(model, "_jit_compile", wanted and jit)
            try:
                getattr(type(model), f"make_{kind}_function")(model, force)
            finally:
                object.__setattr__(model, "_jit_compile", wanted)
            whole = model.run_eagerly or (wanted and jit)
            if model.train_function is not before and not whole:
                model.train_function = _without_waiting(model, model.train_function)

        object.__setattr__(model, f"make_{kind}_function", make)


def _without_waiting(model, train_function):
    """A function of an iterator that doesn't wait for the device after each step.

    Keras asks the device whether there was a batch before it returns. On a GPU the
    next step is then prepared while nothing is computed, a quarter of the time of a
    compiled ResNet-50; here the iterator's end tells.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow.trainer import reduce_per_replica

    if model.steps_per_execution > 1:
        return train_function
    strategy = model.distribute_strategy

    @tf.autograph.experimental.do_not_convert
    def step(iterator):
        outputs = strategy.run(model.train_step, args=(iterator.get_next(),))
        return reduce_per_replica(outputs, strategy, reduction="auto")

    step = tf.function(step, reduce_retracing=True, jit_compile=False)
    iterators = (tf.data.Iterator, tf.distribute.DistributedIterator)

    def run(iterator):
        if isinstance(iterator, iterators):
            return step(iterator)
        return train_function(iterator)

    return run


def layers_without_jit(model: keras.Model) -> list[str]:
    """Names of the layers that XLA can't compile."""
    return [layer.name for layer in model._flatten_layers() if not layer.supports_jit]
