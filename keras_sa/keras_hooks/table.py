"""What of Keras' private interface is touched, why, and whether it is still there."""

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
_COMPILED = (
    "https://www.tensorflow.org/xla/known_issues",
    "XLA can't compile an update that assigns a strategy's variables",
)
_BATCH_NORM = (
    "https://github.com/keras-team/keras/issues/18667",
    "batch statistics can't leave out rows that only pad the batch",
)


@dataclass(frozen=True)
class Attribute:
    """A private attribute that is read.

    Args:
        name: The attribute.
        example: A function without arguments that returns an object that has it.
        use: What it is read for.
    """

    name: str
    example: Callable[[], object]
    use: str


# Named, so that the names of the user's layers stay what they would be.
@functools.cache
def _tensor():
    return keras.Input((1,), name="checked")


@functools.cache
def _model():
    model = keras.Sequential(name="checked")
    model.compile(None, "mse")
    return model


@functools.cache
def _batch_norm():
    layer = keras.layers.BatchNormalization(name="checked")
    layer.build((None, 1))
    return layer


@functools.cache
def _optimizer():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2, name="checked")
    optimizer.build(_batch_norm().trainable_variables)
    return optimizer


def _functions():
    from keras.src import backend

    return backend.nn


def _batches():
    from keras.src.backend.tensorflow.trainer import TFEpochIterator

    return TFEpochIterator


ATTRIBUTES = (
    Attribute("softmax", _functions, "finding a classifier's logits"),
    Attribute("sigmoid", _functions, "finding a classifier's logits"),
    Attribute("log_softmax", _functions, "finding a classifier's logits"),
    Attribute("log_sigmoid", _functions, "finding a classifier's logits"),
    Attribute("_keras_history", _tensor, "counting operations"),
    Attribute("_seed_generators", _batch_norm, "seeds that differ between replicas"),
    Attribute("_reduction_axes", _batch_norm, "statistics over all replicas"),
    Attribute("_compile_loss", _model, "the loss of uneven batches"),
    Attribute("_loss_tracker", _model, "the loss of uneven batches"),
    Attribute("_accumulated_gradients", _optimizer, "gradient accumulation"),
    Attribute("_iterations", _optimizer, "gradient accumulation"),
    Attribute("_trainable_variables", _optimizer, "moving averages of weights"),
    Attribute("_get_iterator", _batches, "building from several workers' batches"),
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
    Hook(_Optimizer, "_var_key", ("variable",), *_COMPILED),
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
    for attribute in ATTRIBUTES:
        owner = attribute.example()
        if not hasattr(owner, attribute.name):
            raise RuntimeError(
                f"Keras {keras.__version__} has no `{attribute.name}` any more, which "
                f"is read for {attribute.use}. Received: {type(owner).__name__} "
                f"without it"
            )
    if version > LAST_KERAS:
        warnings.warn(
            f"keras_sa.training was tried with Keras up to "
            f"{'.'.join(map(str, LAST_KERAS))}, this is {keras.__version__}. Compare a "
            "short training on one device with one on several before a long one.",
            stacklevel=2,
        )
