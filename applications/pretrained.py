"""Which arguments of the builders go with published weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_sa.layers.tensor_types import Tensor

CLASSES = 1000


def check_weights(
    weights: str | Path | None,
    depth: int,
    standard: bool,
    channels: int,
    classes: int | None,
    classifier_activation: str | Callable[[Tensor], Tensor] | None,
    attention: str | None,
    attention_options: dict[str, Any],
) -> None:
    """Checks the argument `weights` of a builder against the others.

    Args:
        weights: `None`, a name of published weights or the path of a file.
        depth: Depth of the network.
        standard: Whether the network has the published blocks, widths and stem.
        channels: Channels of the images.
        classes: Number of classes, `None` without the top.
        classifier_activation: Activation of the top.
        attention: Name of the attention, or `None`.
        attention_options: Keyword arguments of the attention layers.

    Raises:
        ValueError: If `weights` are nothing known, or weights of another network.
    """
    if weights is None:
        return
    from keras_sa.weights.registry import find_weights
    from keras_sa.weights.registry import is_weight_name
    from keras_sa.weights.registry import weight_names

    if not is_weight_name(weights):
        if not Path(weights).is_file():
            raise ValueError(
                "`weights` must be None, the path of an existing file or one of "
                f"{weight_names(depth)}. Received: weights={str(weights)!r}"
            )
        return
    name = f"`weights={weights!r}`"
    if not standard:
        raise ValueError(
            f"{name} are for the published networks, without `blocks`, `width`, "
            "`bottleneck_width` and `stem`. Use `weights=None` or the path of a file "
            "for this network."
        )
    entry = find_weights(weights, depth)
    if channels != 3:
        raise ValueError(
            f"{name} are for images with 3 channels. For others use `weights=None`. "
            f"Received: {channels} channels"
        )
    if classes not in (CLASSES, None):
        raise ValueError(
            f"{name} with `include_top=True` have {CLASSES} classes. For others use "
            "`include_top=False` and add a layer of your own. "
            f"Received: classes={classes}"
        )
    if classes and keras.activations.get(classifier_activation) not in (
        keras.activations.linear,
        keras.activations.softmax,
    ):
        raise ValueError(
            f'{name} go with `classifier_activation="softmax"` or None. '
            f"Received: classifier_activation={classifier_activation!r}"
        )
    options = {"groups": 64, "shuffle": True, **attention_options}
    if entry.kind == "sa" and (attention, options["groups"], options["shuffle"]) != (
        "sa",
        64,
        True,
    ):
        raise ValueError(
            f"{name} are for shuffle attention with 64 groups and the shuffle. "
            f"Received: attention={attention!r}, attention_options={attention_options}"
        )
