"""Which private methods of Keras are touched, why, and whether they are still there."""

import inspect
import warnings
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
