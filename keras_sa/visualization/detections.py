"""Pictures of boxes and masks."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_sa.utils.extras import require_extra
from keras_sa.visualization.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib's ten colours that are told apart most easily.
PALETTE = "tab10"
INCHES = 6.4
# Of one picture of several, and how many images stand side by side.
SMALL_INCHES = 2.6
TITLE_INCHES = 0.25
PAIRS_A_ROW = 2
# At most, as a part of the image.
LABEL_HEIGHT = 0.08


def detections_figure(
    image: np.ndarray,
    boxes: np.ndarray,
    classes: Sequence[int],
    class_names: Sequence[str],
    scores: Sequence[float] | None = None,
    masks: Sequence[np.ndarray] | None = None,
) -> "Figure":
    """Draws an image with the objects on it.

    Args:
        image: `(height, width, 3)` in 0..255.
        boxes: `(objects, 4)`: x1, y1, x2, y2 in pixels of the image.
        classes: The class of every object, from 0 on.
        class_names: The names of the classes.
        scores: The score of every detection. `None` for what is annotated.
        masks: The mask `(height, width)` of every object, 0 or 1.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("objects.png")` writes it.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there are not as many boxes as classes, scores or masks.
    """
    height, width = np.shape(image)[:2]
    figure = new_figure(INCHES, INCHES * height / width)
    axes = figure.subplots()
    _draw_objects(axes, image, class_names, boxes, classes, scores, masks)
    axes.set_title(f"{len(boxes)} objects", fontsize=9)
    return figure


def annotated_and_found_figure(
    images: Sequence[np.ndarray],
    annotated: Sequence[Mapping[str, Sequence]],
    found: Sequence[Mapping[str, Sequence]],
    class_names: Sequence[str],
) -> "Figure":
    """Draws images twice, side by side: with what is annotated and what is found.

    Args:
        images: `(height, width, 3)` in 0..255; each may have a size of its own.
        annotated: For every image a dict with `boxes` and `classes` and, where there
            are any, `masks`: see `detections_figure`. `crowds` says which of them are
            groups of objects; they get a dashed line and no mask.
        found: The same of what the detector says, with `scores`.
        class_names: The names of the classes.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the numbers of images or of objects differ.
    """
    counts = [len(each) for each in (images, annotated, found)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(
            "`images`, `annotated` and `found` must describe the same images, at least "
            f"one. Received: lengths {counts}"
        )
    pairs = min(len(images), PAIRS_A_ROW)
    shares = [np.shape(image)[0] / np.shape(image)[1] for image in images]
    # Every row is as high as its highest image.
    heights = [
        SMALL_INCHES * max(shares[first : first + pairs]) + TITLE_INCHES
        for first in range(0, len(images), pairs)
    ]
    figure = new_figure(2 * pairs * SMALL_INCHES, sum(heights))
    parts = figure.subfigures(
        len(heights), pairs, squeeze=False, height_ratios=heights, wspace=0.04
    )
    for image, truth, detections, part in zip(
        images, annotated, found, parts.flat, strict=False
    ):
        left, right = part.subplots(1, 2)
        for axes, objects, title in (
            (left, truth, "annotated"),
            (right, detections, "found"),
        ):
            _draw_objects(axes, image, class_names, **objects)
            axes.set_title(f"{len(objects['boxes'])} {title}", fontsize=8)
            axes.set_anchor("N")
    return figure


def _draw_objects(
    axes, image, class_names, boxes, classes, scores=None, masks=None, crowds=None
):
    counts = [
        len(each)
        for each in (boxes, classes, scores, masks, crowds)
        if each is not None
    ]
    if len(set(counts)) > 1:
        raise ValueError(
            "`boxes`, `classes`, `scores` and `masks` must describe the same objects. "
            f"Received: lengths {counts}"
        )
    height, width = np.shape(image)[:2]
    # Pixels are squares whose corners have whole numbers.
    extent = (0, width, height, 0)
    axes.axis("off")
    axes.imshow(np.asarray(image).astype("uint8"), extent=extent)
    colors = require_extra("matplotlib", "detection").colormaps[PALETTE]
    # The surest one last: no other label hides its own.
    order = range(len(boxes)) if scores is None else np.argsort(scores, kind="stable")
    for row in order:
        label = class_names[int(classes[row])]
        color = colors(int(classes[row]) % colors.N)
        crowd = crowds is not None and bool(crowds[row])
        if crowd:
            label = f"group: {label}"
        elif masks is not None:
            covered = np.asarray(masks[row]) > 0
            layer = covered[..., np.newaxis] * np.array((*color[:3], 0.45))
            axes.imshow(layer, extent=extent)
        if scores is not None:
            label += f" {scores[row]:.0%}"
        _draw_box(axes, boxes[row], label, color, "--" if crowd else "-")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _draw_box(axes, box, label, color, style):
    patches = require_extra("matplotlib.patches", "detection")
    left, top, right, bottom = (float(number) for number in box)
    axes.add_patch(
        patches.Rectangle(
            (left, top),
            right - left,
            bottom - top,
            fill=False,
            ec=color,
            lw=1.5,
            ls=style,
        )
    )
    axes.text(
        left,
        top,
        label,
        # Above the box, unless that is outside of the image.
        va="bottom" if top > LABEL_HEIGHT * axes.get_ylim()[0] else "top",
        fontsize=7,
        color="white",
        bbox={"facecolor": color, "edgecolor": "none", "pad": 1},
        clip_on=True,
    )
