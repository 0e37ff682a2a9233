"""Pictures of a classifier's results."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_sa.visualization.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# At most.
COLUMNS = 6


def confusion_matrix_figure(
    labels: Sequence[int], predictions: Sequence[int], class_names: Sequence[str]
) -> "Figure":
    """Draws how often each class was taken for which.

    Args:
        labels: The true class of every image.
        predictions: The predicted class of every image.
        class_names: The names of the classes.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there are not as many predictions as labels, or one of them is
            no class.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            "`labels` and `predictions` must hold one class index for each image. "
            f"Received: shapes {labels.shape} and {predictions.shape}"
        )
    count = len(class_names)
    for name, indices in (("labels", labels), ("predictions", predictions)):
        if ((indices < 0) | (indices >= count)).any():
            raise ValueError(
                f"`{name}` must be in 0..{count - 1}, for {count} class names. "
                f"Received: numbers in {indices.min()}..{indices.max()}"
            )
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (labels, predictions), 1)
    figure = new_figure(6.4, 5.6)
    axes = figure.subplots()
    # A row shows shares, so that rare classes are as visible as frequent ones.
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    for row, column in np.argwhere(matrix):
        axes.text(
            column,
            row,
            matrix[row, column],
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.5 else "black",
        )
    axes.set_xticks(range(count), class_names, rotation=90 if count > 12 else 0)
    axes.set_yticks(range(count), class_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    accuracy = (labels == predictions).mean() if len(labels) else float("nan")
    axes.set_title(f"accuracy {accuracy:.2%} of {len(labels)} images")
    return figure


def predictions_figure(
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    predictions: Sequence[str],
    scores: Sequence[float],
) -> "Figure":
    """Draws images with what they are and what they were taken for.

    Args:
        images: Images in 0..255, of any size.
        labels: The true class's name of every image.
        predictions: The predicted class's name of every image.
        scores: The probability of the predicted class.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no image.
    """
    if not len(images):
        raise ValueError("`images` must hold at least one image. Received: none")
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(1.5 * columns, 1.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, label, prediction, score in zip(
        grid.flat, images, labels, predictions, scores, strict=False
    ):
        axes.imshow(np.asarray(image).astype("uint8"), cmap="gray", vmin=0, vmax=255)
        right = label == prediction
        axes.set_title(
            f"{prediction} ({score:.0%})" + ("" if right else f"\nis {label}"),
            color="black" if right else "crimson",
            fontsize=9,
        )
    return figure
