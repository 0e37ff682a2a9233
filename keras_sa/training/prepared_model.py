"""Making a compiled model's `fit`, `evaluate` and `predict` right on many devices."""

import functools
from typing import Literal

import keras

from keras_sa import keras_hooks
from keras_sa.training import own_loss
from keras_sa.training import steps
from keras_sa.training.batch_norm import moments
from keras_sa.training.compiled import Compilation

# Between the seeds of two replicas; layers' own seeds are far from each other.
SEED_STEP = 1_000_003


def prepare(
    model: keras.Model,
    synchronized: bool = True,
    jit_compile: bool | Literal["auto"] = "auto",
) -> keras.Model:
    """Makes training under a `tf.distribute` strategy give one device's result.

    Afterwards `model.fit`, `model.evaluate` and `model.predict` are used as ever,
    with ordinary callbacks, metrics and optimizers. The model stays what it was: it
    is saved, exported and cloned without a trace.

    The loss of a batch is the mean over the samples of all replicas, however
    unevenly they are spread; gradients are summed over the replicas before they are
    clipped, checked for overflow and accumulated; batch norms take their statistics
    over all replicas. A sample whose weight is zero is no sample: it counts in no
    mean, no metric and no batch statistic, so it can pad a batch. Random layers such
    as dropout draw other numbers in every replica. What layers add to the loss
    (`add_loss`) is taken as a mean over the replica's rows, those with a weight of zero
    included.

    XLA compiles what every replica computes between the sums over the replicas:
    forward, loss and backward. A short batch is padded to a full one, so that nothing
    is compiled twice. Batch norms that are synchronised sum on the way: with them, and
    several replicas, the parts of the training step between the sums are compiled. It
    was tried on one GPU, not on several.

    The detectors of this package have their own loss, see `own_loss.has_own_loss`.
    Their batches must be full, their batch norms are as Keras has them, and XLA can't
    compile them.

    Args:
        model: A compiled model. Under a strategy, the model and its optimizer must
            have been created in its scope.
        synchronized: Whether batch norms take their statistics over all replicas.
            `False`: each replica over its own samples.
        jit_compile: Whether XLA compiles what a replica computes. `"auto"`: on GPUs,
            and where the model was compiled with `jit_compile=True`. Keras makes
            its own `"auto"` a `False` under a strategy, so that only `False` here
            switches XLA off there. What can't be compiled isn't, and one line says
            so.

    Returns:
        The same model.

    Raises:
        ValueError: If the model is not compiled, was created outside the strategy's
            scope, is compiled with several steps an execution where that is not
            possible, or has its own `train_step` or `compute_loss`; or if
            `jit_compile` is of no known kind.
        RuntimeError: If the installed Keras is not the one this was written for.

    Example:

    >>> strategy = make_strategy("mirrored", replicas=2)
    >>> with strategy.scope():
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    >>> history = prepare(model).fit(np.ones((7, 4)), np.ones((7, 1)), verbose=0)
    """
    prepare_steps(model, synchronized, jit_compile)
    return model


def prepare_steps(
    model: keras.Model,
    synchronized: bool = True,
    jit_compile: bool | Literal["auto"] = "auto",
) -> Compilation:
    """Does what `prepare` does, and returns what decides over XLA."""
    if jit_compile not in (True, False, "auto"):
        raise ValueError(
            '`jit_compile` must be `True`, `False` or "auto". '
            f"Received: jit_compile={jit_compile!r}"
        )
    keras_hooks.check_keras()
    _check_model(model)
    _check_scope(model)
    keras_hooks.set_building(model)
    keras_hooks.set_seeds(model, _seed_of_replica)
    for layer in keras_hooks.layers_of(model, keras.layers.BatchNormalization):
        keras_hooks.set_moments(layer, moments)
    compilation = Compilation(model, jit_compile, synchronized)
    if own_loss.has_own_loss(model):
        keras_hooks.set_steps(
            model,
            train_step=functools.partial(own_loss.train_step, model, synchronized),
            test_step=functools.partial(own_loss.test_step, model),
        )
        distributed = compilation.distributed
        if distributed and compilation.wanted:
            compilation.say_not("train", "the model has its own loss")
        keras_hooks.set_functions(model, compilation.begin, jit=not distributed)
        return compilation
    keras_hooks.set_steps(
        model,
        train_step=functools.partial(steps.train_step, compilation),
        test_step=functools.partial(steps.test_step, compilation),
        predict_step=functools.partial(steps.predict_step, compilation),
    )
    keras_hooks.set_functions(model, compilation.begin, jit=False)
    return compilation


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
