"""Everything that decides how a training goes on, as arrays and JSON."""

import random
import re
from dataclasses import dataclass

import keras
import numpy as np

from keras_sa.training.resuming import callback_state

NUMBER = re.compile(r"_\d+(?=[_/]|$)")


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Args:
        epoch: The current epoch, from 0.
        step: How many of its steps are done.
    """

    epoch: int = 0
    step: int = 0


def take(
    model: keras.Model,
    callbacks: list[keras.callbacks.Callback],
    position: Position,
    steps_per_epoch: int | None,
) -> tuple[dict[str, np.ndarray], dict]:
    """The state of a training between two steps.

    Every worker must call it: metrics are summed over them.

    Args:
        model: A compiled and built model: its weights, moving averages, seeds of
            random layers, optimizer and metrics.
        callbacks: Their states are kept too, see `callback_state`.
        position: How far the training is.
        steps_per_epoch: If known.

    Returns:
        Arrays by name, and what JSON can hold.
    """
    arrays = {
        f"variables/{i}": np.asarray(variable.numpy())
        for i, variable in enumerate(_variables(model))
    }
    generator, keys, *rest = np.random.get_state()
    arrays["random/numpy"] = keys
    states, callback_arrays = callback_state.take(callbacks)
    version, words, gauss = random.getstate()
    metadata = {
        "epoch": position.epoch,
        "step": position.step,
        "steps_per_epoch": steps_per_epoch,
        "names": _names(model),
        "random": {"numpy": [generator, *rest], "python": [version, words, gauss]},
        "callbacks": states,
    }
    return {**arrays, **callback_arrays}, metadata


def check(model: keras.Model, metadata: dict, steps_per_epoch: int | None) -> None:
    """Compares a saved state with the training that is to go on from it.

    Raises:
        ValueError: If it is of another model, optimizer or batch size.
    """
    saved, names = metadata["names"], _names(model)
    if saved != names:
        differing = sorted({*saved} ^ {*names}) or ["the order"]
        raise ValueError(
            "The saved state belongs to another model or optimizer: "
            f"{', '.join(differing[:5])} differ. Choose another directory or delete "
            f"it. Received: model={model.name!r} with {len(names)} variables, a state "
            f"with {len(saved)}"
        )
    if metadata["step"] and metadata["steps_per_epoch"] != steps_per_epoch:
        raise ValueError(
            "The saved state is in the middle of an epoch, of another number of "
            "steps: the data or the batch size are not the same. Received: "
            f"steps_per_epoch={steps_per_epoch}, saved={metadata['steps_per_epoch']}"
        )


def restore(model: keras.Model, arrays: dict[str, np.ndarray], metadata: dict) -> None:
    """Sets the model, the optimizer, the metrics and the random numbers.

    Args:
        model: A compiled and built model.
        arrays: See `take`.
        metadata: See `take`.
    """
    for i, variable in enumerate(_variables(model)):
        variable.assign(arrays[f"variables/{i}"])
    generator, *rest = metadata["random"]["numpy"]
    np.random.set_state((generator, arrays["random/numpy"], *rest))
    version, words, gauss = metadata["random"]["python"]
    random.setstate((version, tuple(words), gauss))


def position_of(metadata: dict) -> Position:
    return Position(metadata["epoch"], metadata["step"])


def _variables(model):
    return [*model.variables, *model.optimizer.variables, *model.metrics_variables]


def _names(model):
    # Without the numbers that Keras gives to layers of the same name.
    return [
        f"{NUMBER.sub('', variable.path)} {variable.dtype} {tuple(variable.shape)}"
        for variable in _variables(model)
    ]
