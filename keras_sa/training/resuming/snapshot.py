"""Everything that decides how a training goes on, as arrays and JSON."""

import random
import re
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_sa.training.resuming import callback_state

NUMBER = re.compile(r"_\d+(?=[_/]|$)")
# An optimizer has this variable unless it has a schedule.
RATE = re.compile(r"/learning_rate \S+ \(\)")


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
    state: Any = np.random.get_state()
    generator, keys, *rest = state
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
    saved, names = (
        [name for name in each if not _is_rate(name)]
        for each in (metadata["names"], _names(model))
    )
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


def restore(
    model: keras.Model,
    arrays: dict[str, np.ndarray],
    metadata: dict,
    learning_rate: bool = True,
) -> str | None:
    """Sets the model, the optimizer, the metrics and the random numbers.

    Args:
        model: A compiled and built model.
        arrays: See `take`.
        metadata: See `take`.
        learning_rate: Whether the saved learning rate goes on, where it is a number
            and no schedule.

    Returns:
        Which learning rate is used, in a sentence, if it is not clear.

    Raises:
        ValueError: If the saved learning rate is to go on, and one of the two is a
            schedule.
    """
    saved = [
        (name, arrays[f"variables/{i}"]) for i, name in enumerate(metadata["names"])
    ]
    own = list(zip(_names(model), _variables(model), strict=True))
    before = next((float(value) for name, value in saved if _is_rate(name)), None)
    rate = next((variable for name, variable in own if _is_rate(name)), None)
    said = _learning_rate(before, rate, learning_rate)
    if learning_rate and rate is not None:
        rate.assign(before)
    pairs = zip(
        [value for name, value in saved if not _is_rate(name)],
        [variable for name, variable in own if not _is_rate(name)],
        strict=True,
    )
    for value, variable in pairs:
        variable.assign(value)
    generator, *rest = metadata["random"]["numpy"]
    np.random.set_state((generator, arrays["random/numpy"], *rest))
    version, words, gauss = metadata["random"]["python"]
    random.setstate((version, tuple(words), gauss))
    return said


def _learning_rate(before, rate, goes_on):
    """Which one is used, in a sentence, if there are two; `None` is a schedule."""
    now = None if rate is None else float(rate.numpy())
    if before == now:
        return None
    before, now = (
        "a schedule" if each is None else f"the learning rate {each:g}"
        for each in (before, now)
    )
    if not goes_on:
        return f"Goes on with {now} of the optimizer, after {before}."
    if "a schedule" in (before, now):
        raise ValueError(
            f"The saved training has {before}, the optimizer {now}: compile the model "
            "with what was saved, or go on with what the optimizer has by "
            "`resume_learning_rate=False`."
        )
    return (
        f"Goes on with {before} of the saved training, not {now} of the optimizer, "
        "which `resume_learning_rate=False` takes."
    )


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


def _is_rate(name):
    return RATE.search(name) is not None
