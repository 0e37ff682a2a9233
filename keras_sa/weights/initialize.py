"""What the `weights` argument of the builders means."""

from pathlib import Path

import keras

from keras_sa.weights.checkpoint import LoadReport
from keras_sa.weights.checkpoint import load_checkpoint
from keras_sa.weights.download import fetch
from keras_sa.weights.registry import find_weights
from keras_sa.weights.registry import is_weight_name
from keras_sa.weights.warm_start import attention_layers
from keras_sa.weights.warm_start import warm_start_weights


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
        ValueError: If the file does not fit the model.
    """
    path = weights
    if is_weight_name(weights):
        entry = find_weights(weights, depth)
        # What can't work should fail before the download, not after it.
        if entry.kind == "resnet" and attention_layers(model):
            warm_start_weights(model)
        path = fetch(entry)
    return load_checkpoint(model, path, skip_head=not include_top)
