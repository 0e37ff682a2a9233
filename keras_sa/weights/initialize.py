"""What the `weights` argument of the builders means."""

from pathlib import Path

import keras

from keras_sa.weights.checkpoint import LoadReport
from keras_sa.weights.checkpoint import load_checkpoint
from keras_sa.weights.download import fetch
from keras_sa.weights.readers import require_reader
from keras_sa.weights.registry import ALIASES
from keras_sa.weights.registry import WEIGHTS
from keras_sa.weights.registry import find_weights
from keras_sa.weights.registry import weight_names


def is_weight_name(weights: str | Path | None) -> bool:
    """Whether `weights` names published weights, and is not a path."""
    return isinstance(weights, str) and (weights in WEIGHTS or weights in ALIASES)


def check_weight_name(weights: str | Path, depth: int) -> None:
    """Checks that `weights` are an existing file or published weights of this depth.

    Raises:
        ValueError: If they are neither.
    """
    if is_weight_name(weights):
        find_weights(weights, depth)
    elif not Path(weights).is_file():
        raise ValueError(
            "`weights` must be None, the path of an existing file or one of "
            f"{weight_names(depth)}. Received: weights={str(weights)!r}"
        )


def initialize_weights(
    model: keras.Model, weights: str | Path, depth: int, include_top: bool
) -> LoadReport:
    """Sets the weights that the argument `weights` of a builder names.

    Args:
        model: The new network.
        weights: A name of published weights, such as `"imagenet"`, or the path of a
            file.
        depth: The depth of the network.
        include_top: Whether it has its classifier head. Without it, the file's head
            is left out.

    Returns:
        The report of `load_checkpoint`.

    Raises:
        FileNotFoundError: If the weights must be installed by the user and are not.
        ConnectionError: If the weights can't be downloaded.
        ImportError: If the format needs a package that is not installed.
        ValueError: If the file does not fit the model.
    """
    path = weights
    if is_weight_name(weights):
        entry = find_weights(weights, depth)
        # Better now than after a download.
        require_reader(entry.file)
        path = fetch(entry)
    return load_checkpoint(model, path, skip_head=not include_top)
