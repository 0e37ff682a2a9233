"""Everything that can be seen about single images, in one figure each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_sa.utils.layer_names import ATTENTION
from keras_sa.visualization.attention_gates import attention_maps
from keras_sa.visualization.attention_gates import gated_layers
from keras_sa.visualization.canvas import displayable
from keras_sa.visualization.canvas import draw_gate
from keras_sa.visualization.canvas import draw_image
from keras_sa.visualization.canvas import new_figure
from keras_sa.visualization.canvas import overlay
from keras_sa.visualization.class_activation_mapping import grad_cam
from keras_sa.visualization.group_masking import GroupScores
from keras_sa.visualization.group_masking import group_scores
from keras_sa.visualization.recording import image_batch
from keras_sa.visualization.recording import record
from keras_sa.visualization.target_layer import find_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS = 64


@dataclass(frozen=True)
class Explanation:
    """What a classifier makes of one image.

    Args:
        image: RGB in 0..1, `(height, width, 3)`.
        classes: The most probable classes, the best first.
        scores: Their probabilities.
        maps: Their Grad-CAMs, `(classes, height, width)`.
        gates: By name, the gates of the last attention of every size of map,
            `(height, width, channels)`; empty without attentions.
        groups: The group scores of the best class.
    """

    image: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    gates: dict[str, np.ndarray]
    groups: GroupScores


def explain(
    model: keras.Model,
    image: np.ndarray,
    top: int = 3,
    layer: str | keras.layers.Layer | None = None,
    groups: int | None = None,
    multi_label: bool = False,
) -> Explanation:
    """Looks at one image with everything this package has.

    Args:
        model: Any classifier, as for `grad_cam`.
        image: `(height, width, channels)` as the model takes it.
        top: For how many of the most probable classes there are Grad-CAMs.
        layer: As for `grad_cam`; the group scores are of the same layer.
        groups: As for `group_scores`. Defaults to 64, or to the greatest number
            below that divides both 64 and the layer's channels.
        multi_label: As for `group_scores`.

    Returns:
        The explanation, to be drawn by `explanation_figure`.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if top < 1:
        raise ValueError(f"`top` must be at least 1. Received: top={top}")
    images = image_batch(model, image)[np.newaxis]
    if images.ndim != 4:
        raise ValueError(
            f"`image` must have the rank 3. Received: shape={images.shape[1:]}"
        )
    recording = record(model, images)
    scores = recording.head(multi_label).probabilities(recording.output)[0]
    classes = np.argsort(-scores, kind="stable")[:top]
    target = find_target(recording, layer)
    data_format = recording.data_format()
    if groups is None:
        channel_axis = 1 if recording.data_format(target) == "channels_first" else 3
        groups = math.gcd(GROUPS, target.shape[channel_axis])
    return Explanation(
        image=displayable(images, data_format)[0],
        classes=classes,
        scores=scores[classes],
        maps=grad_cam(
            model,
            np.repeat(images, len(classes), axis=0),
            classes.tolist(),
            target.operation,
        ),
        gates=_last_gates(model, images),
        groups=group_scores(
            model, images, target.operation, groups, multi_label=multi_label
        ),
    )


def explanation_figure(
    explanation: Explanation,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> "Figure":
    """Draws an explanation.

    Args:
        explanation: What `explain` returned.
        class_names: The names of all classes. Defaults to their numbers.
        title: Such as the name of the image's file.

    Returns:
        A `matplotlib.figure.Figure`: the image and the Grad-CAMs, the gates, and a
        bar for each group.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If a class has no name.
    """
    if class_names is not None:
        check_class_names(class_names, 1 + int(max(explanation.classes)))

    def name_of(index):
        return str(index) if class_names is None else class_names[index]

    columns = max(4, 1 + len(explanation.classes), len(explanation.gates))
    rows = 3 if explanation.gates else 2
    figure = new_figure(1.9 * columns, 2.2 * rows)
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(rows, columns)
    draw_image(figure.add_subplot(grid[0, 0]), explanation.image, "image")
    pictures = np.repeat(explanation.image[np.newaxis], len(explanation.maps), axis=0)
    overlays = overlay(pictures, explanation.maps, data_format="channels_last")
    for column, (index, score, picture) in enumerate(
        zip(explanation.classes, explanation.scores, overlays, strict=True), start=1
    ):
        axes = figure.add_subplot(grid[0, column])
        draw_image(axes, picture, f"{name_of(index)} {score:.1%}")
    for column, (name, gate) in enumerate(explanation.gates.items()):
        axes = figure.add_subplot(grid[1, column])
        draw_gate(axes, gate, f"gates {name.removesuffix(f'_{ATTENTION}')}")
    _draw_groups(
        figure.add_subplot(grid[-1, :]),
        explanation.groups,
        name_of(explanation.classes[0]),
    )
    return figure


def check_class_names(class_names: Sequence[str], classes: int) -> None:
    """Raises a `ValueError` if there are fewer names than classes."""
    if len(class_names) < classes:
        raise ValueError(
            "`class_names` must hold the names of all classes, which are at least "
            f"{classes}. Received: {len(class_names)} names"
        )


def _draw_groups(axes, groups, name):
    scores = groups.scores[0]
    colours = ["C0" if hit else "lightsteelblue" for hit in groups.hits[0]]
    axes.bar(np.arange(len(scores)), scores, color=colours)
    axes.axhline(groups.whole_scores[0], color="black", ls=":", lw=1)
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.01)
    axes.set_xlabel("group whose map masks the image", fontsize=8)
    axes.set_ylabel(f"score of {name}", fontsize=8)
    axes.set_title("dark: still the answer; dotted: without a mask", fontsize=8)
    axes.tick_params(labelsize=7)


def _last_gates(model, images):
    if not gated_layers(model):
        return {}
    gates = attention_maps(model, images)
    last = {}
    for name, gate in gates.items():
        # Without positions a stage is known by its channels.
        size = gate.shape[1:3] if gate.shape[1:3] != (1, 1) else gate.shape[1:]
        last[size] = name
    return {name: gates[name][0] for name in last.values()}
