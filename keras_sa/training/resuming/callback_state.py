"""What callbacks must remember when a training is resumed."""

import warnings
from collections.abc import Sequence

import keras
import numpy as np

# The attributes of Keras' callbacks in which they remember the past.
ATTRIBUTES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: (
        "best",
        "best_epoch",
        "best_weights",
        "stopped_epoch",
        "wait",
    ),
    keras.callbacks.History: ("epoch", "history"),
    keras.callbacks.ModelCheckpoint: ("best", "epochs_since_last_save"),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}
WEIGHTS = "best_weights"


def take(callbacks: Sequence[keras.callbacks.Callback]) -> tuple[list, dict]:
    """The states of callbacks.

    Args:
        callbacks: Of these, the ones of Keras that remember something, and others
            that have `get_state()`, which returns what JSON can hold, and
            `set_state(state)`.

    Returns:
        A list of JSON-able dicts, and arrays by name.
    """
    states: list[dict] = []
    arrays: dict[str, np.ndarray] = {}
    for callback in _stateful(callbacks):
        state = {"class": type(callback).__name__}
        if hasattr(callback, "get_state"):
            state["state"] = callback.get_state()
        for name in _attributes(callback):
            value = getattr(callback, name, None)
            if name == WEIGHTS and value is not None:
                for i, array in enumerate(value):
                    arrays[f"callbacks/{len(states)}/{i}"] = np.asarray(array)
                value = len(value)
            state[name] = _plain(value)
        states.append(state)
    return states, arrays


def restore(
    callbacks: Sequence[keras.callbacks.Callback], states: list, arrays: dict
) -> None:
    """Gives callbacks their states back, after their `on_train_begin`.

    The first callback of a class gets the first state of this class, and so on. It
    warns of callbacks that have none and start anew, and of states that nobody gets.

    Args:
        callbacks: The callbacks.
        states: See `take`.
        arrays: See `take`.
    """
    left = dict(enumerate(states))
    anew = []
    for callback in _stateful(callbacks):
        kind = type(callback).__name__
        number = next((n for n, state in left.items() if state["class"] == kind), None)
        if number is None:
            anew.append(kind)
            continue
        state = left.pop(number)
        if "state" in state:
            callback.set_state(state["state"])
        for name in _attributes(callback):
            value = state[name]
            if name == WEIGHTS and value is not None:
                value = [arrays[f"callbacks/{number}/{i}"] for i in range(value)]
            if hasattr(callback, name):
                setattr(callback, name, value)
    if anew or left:
        before = [state["class"] for state in left.values()]
        warnings.warn(
            "The training before had other callbacks. "
            f"Received: {anew}, which start anew, before: {before}, which are gone",
            stacklevel=2,
        )


def _stateful(callbacks):
    return [
        callback
        for callback in callbacks
        if hasattr(callback, "get_state") or _attributes(callback)
    ]


def _attributes(callback):
    for kind, names in ATTRIBUTES.items():
        if isinstance(callback, kind):
            return names
    return ()


def _plain(value):
    """NumPy numbers as Python's, also inside of lists and dicts."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
