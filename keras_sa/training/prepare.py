"""Making a compiled model's `fit`, `evaluate` and `predict` right on many devices."""

import functools

import keras

from keras_sa import keras_hooks
from keras_sa.training import own_loss
from keras_sa.training import steps
from keras_sa.training.batch_norm import moments

# Between the seeds of two replicas; layers' own seeds are far from each other.
SEED_STEP = 1_000_003


def prepare(model: keras.Model, synchronized: bool = True) -> keras.Model:
    """Makes training under a `tf.distribute` strategy give one device's result.

    Afterwards `model.fit`, `model.evaluate` and `model.predict` are used as ever,
    with ordinary callbacks, metrics and optimizers. The model stays what it was: it
    is saved, exported and cloned without a trace.

    The loss of a batch is the mean over the samples of all replicas, however
    unevenly they are spread; gradients are summed over the replicas before they are
    clipped, checked for overflow and accumulated; batch norms take their statistics
    over all replicas. A sample whose weight is zero is no sample: it counts in no
    mean, no metric and no batch statistic, so it can pad a batch. Random layers such
    as dropout draw other numbers in every replica.

    The detectors of this package have their own loss, see `own_loss.has_own_loss`.
    Their batches must be full, and their batch norms are as Keras has them.

    Args:
        model: A compiled model. Under a strategy, the model and its optimizer must
            have been created in its scope.
        synchronized: Whether batch norms take their statistics over all replicas.
            `False`: each replica over its own samples.

    Returns:
        The same model.

    Raises:
        ValueError: If the model is not compiled, was created outside the strategy's
            scope, is compiled with `jit_compile=True` or with several steps an
            execution where that is not possible, or has its own `train_step` or
            `compute_loss`.
        RuntimeError: If the installed Keras is not the one this was written for.

    Example:

    >>> strategy = make_strategy("mirrored", replicas=2)
    >>> with strategy.scope():
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    >>> history = prepare(model).fit(np.ones((7, 4)), np.ones((7, 1)), verbose=0)
    """
    keras_hooks.check_keras()
    _check_model(model)
    _check_scope(model)
    keras_hooks.set_building(model)
    keras_hooks.set_seeds(model, _seed_of_replica)
    for layer in keras_hooks.layers_of(model, keras.layers.BatchNormalization):
        keras_hooks.set_moments(layer, moments)
    if own_loss.has_own_loss(model):
        keras_hooks.set_steps(
            model,
            train_step=functools.partial(own_loss.train_step, model, synchronized),
            test_step=functools.partial(own_loss.test_step, model),
        )
        return model
    keras_hooks.set_steps(
        model,
        train_step=functools.partial(steps.train_step, model, synchronized),
        test_step=functools.partial(steps.test_step, model),
        predict_step=functools.partial(steps.predict_step, model),
    )
    return model


def _seed_of_replica():
    """What makes the random numbers of a replica its own; 0 on one device."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # Not a step: Keras' building calls the layers without a replica.
    if context is None:
        return 0
    return SEED_STEP * context.replica_id_in_sync_group


def _check_model(model):
    import tensorflow as tf

    if not model.compiled:
        raise ValueError(
            "`model` must be compiled: call `model.compile(...)` in the strategy's "
            f"scope first. Received: model={model.name!r}"
        )
    own = ("train_step", "test_step", "compute_loss")
    for name in own if not own_loss.has_own_loss(model) else own[:2]:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise ValueError(
                f"`model` has its own `{name}`, which can't be distributed for it. "
                f"Received: model={model.name!r} of type {type(model).__name__}"
            )
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync > 1 and model.jit_compile:
        raise ValueError(
            "XLA can't compile a step of several replicas: compile the model with "
            f"`jit_compile=False`. Received: jit_compile={model.jit_compile}"
        )
    several_workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if several_workers and model.steps_per_execution > 1:
        raise ValueError(
            "`steps_per_execution` must be 1 with several workers. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )


def _check_scope(model):
    import tensorflow as tf

    strategy = model.distribute_strategy
    current = tf.distribute.get_strategy()
    if tf.distribute.has_strategy() and current is not strategy:
        raise ValueError(
            "`model` was created outside of the strategy's scope. Build and compile "
            f"it inside `with strategy.scope():`. Received: model={model.name!r}"
        )
    for owner, variables in (
        ("model", model.variables),
        ("optimizer", getattr(model.optimizer, "variables", [])),
    ):
        for variable in variables:
            if not strategy.extended.variable_created_in_scope(variable.value):
                raise ValueError(
                    f"The {owner}'s variable {variable.path!r} was created outside of "
                    "the strategy's scope. Build and compile the model inside `with "
                    f"strategy.scope():`. Received: strategy={strategy}"
                )
