"""Pictures of boxes and masks."""

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
    counts = [len(each) for each in (boxes, classes, scores, masks) if each is not None]
    if len(set(counts)) > 1:
        raise ValueError(
            "`boxes`, `classes`, `scores` and `masks` must describe the same objects. "
            f"Received: lengths {counts}"
        )
    matplotlib = require_extra("matplotlib", "detection")
    patches = require_extra("matplotlib.patches", "detection")
    height, width = np.shape(image)[:2]
    figure = new_figure(INCHES, INCHES * height / width)
    axes = figure.subplots()
    axes.axis("off")
    axes.set_title(f"{len(boxes)} objects", fontsize=9)
    # Pixels are squares whose corners have whole numbers.
    axes.imshow(np.asarray(image).astype("uint8"), extent=(0, width, height, 0))
    colors = matplotlib.colormaps[PALETTE]
    for row, (box, number) in enumerate(zip(boxes, classes, strict=True)):
        color = colors(int(number) % colors.N)
        if masks is not None:
            layer = np.zeros((height, width, 4))
            layer[np.asarray(masks[row]) > 0] = (*color[:3], 0.45)
            axes.imshow(layer, extent=(0, width, height, 0))
        left, top, right, bottom = (float(number) for number in box)
        axes.add_patch(
            patches.Rectangle(
                (left, top), right - left, bottom - top, fill=False, ec=color, lw=1.5
            )
        )
        label = class_names[int(number)]
        if scores is not None:
            label += f" {scores[row]:.0%}"
        axes.text(
            left,
            top,
            label,
            va="bottom",
            fontsize=7,
            color="white",
            bbox={"facecolor": color, "edgecolor": "none", "pad": 1},
            clip_on=True,
        )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure
