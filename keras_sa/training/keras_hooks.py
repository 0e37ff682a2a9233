"""All of Keras' private interface that distributed training has to touch.

Keras 3 is wrong or broken under `tf.distribute` in the places that `HOOKS` lists.
What mends them is here and nowhere else, so that a change in Keras has one place to
look at: `check_keras` compares every signature before anything is trained.
"""

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import keras

# The first and the last release this was tried with.
FIRST_KERAS = (3, 12)
LAST_KERAS = (3, 15)


@dataclass(frozen=True)
class Hook:
    """A private method that is replaced or called.

    Args:
        owner: The public class that has it.
        name: The method.
        parameters: Its parameters without `self`.
        issue: Where upstream discusses the problem.
        problem: What goes wrong without it.
    """

    owner: type
    name: str
    parameters: tuple[str, ...]
    issue: str
    problem: str


_CLIPPING = (
    "https://github.com/tensorflow/tensorflow/issues/33929",
    "gradients are clipped and checked for overflow before they are all-reduced",
)
_CONDITIONAL = (
    "https://github.com/keras-team/keras/issues/20582",
    "gradient accumulation and EMA overwriting update inside a conditional",
)
_BUILDING = (
    "https://github.com/keras-team/keras/issues/20585",
    "fit can't build from batches that are spread over several workers",
)
_LOSS = (
    "https://github.com/keras-team/keras/issues/19891",
    "the loss is the mean of the replicas' means, wrong for uneven batches",
)
_BATCH_NORM = (
    "https://github.com/keras-team/keras/issues/18667",
    "batch statistics can't leave out rows that only pad the batch",
)

_Optimizer = keras.optimizers.Optimizer
HOOKS = (
    Hook(_Optimizer, "_all_reduce_sum_gradients", ("grads_and_vars",), *_CLIPPING),
    Hook(
        _Optimizer,
        "_backend_apply_gradients",
        ("grads", "trainable_variables"),
        *_CONDITIONAL,
    ),
    Hook(_Optimizer, "_clip_gradients", ("grads",), *_CONDITIONAL),
    Hook(_Optimizer, "_apply_weight_decay", ("variables",), *_CONDITIONAL),
    Hook(
        _Optimizer,
        "_backend_update_step",
        ("grads", "trainable_variables", "learning_rate"),
        *_CONDITIONAL,
    ),
    Hook(
        _Optimizer,
        "_backend_increment_gradient_accumulators",
        ("grads", "acc_grads"),
        *_CONDITIONAL,
    ),
    Hook(_Optimizer, "_backend_reset_gradient_accumulators", (), *_CONDITIONAL),
    Hook(_Optimizer, "_get_variable_index", ("variable",), *_CONDITIONAL),
    Hook(
        _Optimizer,
        "_update_model_variables_moving_average",
        ("trainable_variables",),
        *_CONDITIONAL,
    ),
    Hook(
        _Optimizer,
        "_overwrite_model_variables_with_average_value",
        ("trainable_variables",),
        *_CONDITIONAL,
    ),
    Hook(keras.Model, "_maybe_symbolic_build", ("iterator", "data_batch"), *_BUILDING),
    Hook(keras.Model, "_symbolic_build", ("iterator", "data_batch"), *_BUILDING),
    Hook(keras.Model, "_aggregate_additional_loss", ("loss",), *_LOSS),
    Hook(keras.Model, "_flatten_layers", ("include_self", "recursive"), *_BATCH_NORM),
    Hook(keras.layers.BatchNormalization, "_moments", ("inputs", "mask"), *_BATCH_NORM),
)


def check_keras() -> None:
    """Compares the installed Keras with the one this module was written for.

    Raises:
        RuntimeError: If Keras is too old or one of its private methods is gone or
            takes other parameters.
    """
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    if version < FIRST_KERAS:
        raise RuntimeError(
            f"Distributed training needs Keras {'.'.join(map(str, FIRST_KERAS))} or "
            f"later. Received: keras=={keras.__version__}"
        )
    for hook in HOOKS:
        method = getattr(hook.owner, hook.name, None)
        found = method and tuple(inspect.signature(method).parameters)[1:]
        if found != hook.parameters:
            raise RuntimeError(
                f"Keras {keras.__version__} has changed "
                f"{hook.owner.__name__}.{hook.name}, on which distributed training "
                f"relies ({hook.issue}): expected the parameters {hook.parameters}. "
                f"Received: {found}"
            )
    if version > LAST_KERAS:
        warnings.warn(
            f"keras_sa.training was tried with Keras up to "
            f"{'.'.join(map(str, LAST_KERAS))}, this is {keras.__version__}. Run "
            "scripts/verify_distributed.py before a long training.",
            stacklevel=2,
        )


def layers_of(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """All layers of a class, also those of nested models."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


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


def reduction_axes(layer: keras.layers.BatchNormalization) -> list[int]:
    """The axes over which a batch norm takes its statistics."""
    return layer._reduction_axes


def data_loss(model: keras.Model, y, y_pred, sample_weight):
    """The compiled loss alone; a mean is divided by the number of replicas."""
    return model._compile_loss(y, y_pred, sample_weight)


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


def set_updates(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer take gradients that are all-reduced already.

    Clipping, overflow checks, accumulation and moving averages then see the whole
    batch's gradient, as they do on one device.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    reduced = functools.partial(_apply_reduced_gradients, optimizer)
    object.__setattr__(optimizer, "_all_reduce_sum_gradients", lambda pairs: pairs)
    object.__setattr__(optimizer, "_backend_apply_gradients", reduced)


def _apply_reduced_gradients(optimizer, grads, trainable_variables):
    def update(grads):
        grads = optimizer._clip_gradients(grads)
        optimizer._apply_weight_decay(trainable_variables)
        optimizer._backend_update_step(
            grads, trainable_variables, optimizer.learning_rate
        )

    steps = optimizer.gradient_accumulation_steps
    if steps:
        sums = [
            optimizer._accumulated_gradients[optimizer._get_variable_index(v)]
            for v in trainable_variables
        ]

        def update_with_sums(grads):
            update([(g + s) / steps for g, s in zip(grads, sums, strict=True)])
            optimizer._backend_reset_gradient_accumulators()

        _cond_for_each_replica(
            lambda: (optimizer._iterations + 1) % steps == 0,
            update_with_sums,
            lambda grads: optimizer._backend_increment_gradient_accumulators(
                grads, sums
            ),
            grads,
        )
    else:
        update(grads)

    if optimizer.use_ema:
        variables = optimizer._trainable_variables
        optimizer._update_model_variables_moving_average(variables)
        if optimizer.ema_overwrite_frequency:
            _cond_across_replicas(
                lambda: (
                    (optimizer.iterations + 1) % optimizer.ema_overwrite_frequency == 0
                ),
                lambda: optimizer._overwrite_model_variables_with_average_value(
                    variables
                ),
            )


def _cond_for_each_replica(predicate, true_fn, false_fn, grads):
    """A conditional whose branches run in every replica.

    The condition itself is entered once for all replicas: a branch inside a replica
    must not wait for the others.
    """
    import tensorflow as tf

    def branch(strategy, function, grads):
        strategy.extended.call_for_each_replica(function, args=(grads,))

    def across_replicas(strategy, grads):
        tf.cond(
            predicate(),
            lambda: branch(strategy, true_fn, grads),
            lambda: branch(strategy, false_fn, grads),
        )

    tf.distribute.get_replica_context().merge_call(across_replicas, args=(grads,))


def _cond_across_replicas(predicate, function):
    import tensorflow as tf

    def across_replicas(strategy):
        tf.cond(predicate(), lambda: function() and None, lambda: None)

    tf.distribute.get_replica_context().merge_call(across_replicas)
