"""The results of this package's functions as figures."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_sa.layers.tensor_types import DataFormat
from keras_sa.utils import layer_names
from keras_sa.visualization.canvas import displayable
from keras_sa.visualization.canvas import draw_image
from keras_sa.visualization.canvas import new_figure
from keras_sa.visualization.canvas import overlay
from keras_sa.visualization.group_masking import GroupScores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The least range of gates that the colours cover.
GATE_SPAN = 0.02


def grad_cam_figure(
    images: np.ndarray,
    maps: Mapping[str, np.ndarray],
    titles: Sequence[str] | None = None,
    data_format: DataFormat | None = None,
) -> "Figure":
    """Draws images, one a row, with the heat maps of several networks.

    Args:
        images: A batch, normalised or not.
        maps: For every network's name what `grad_cam` returned.
        titles: One for each image.
        data_format: Of the images.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If images and maps differ in number or size.
    """
    titles = titles if titles is not None else [""] * len(images)
    pictures = displayable(images, data_format)
    columns = {
        name: overlay(pictures, m, data_format="channels_last")
        for name, m in maps.items()
    }
    rows = len(images)
    figure = new_figure(1.5 * (1 + len(columns)) + 0.4, 1.6 * rows + 0.3)
    grid = figure.subplots(rows, 1 + len(columns), squeeze=False)
    for row in range(rows):
        draw_image(grid[row, 0], pictures[row], titles[row])
        for axes, (name, overlays) in zip(grid[row, 1:], columns.items(), strict=True):
            draw_image(axes, overlays[row], name if row == 0 else "")
    return figure


def group_scores_figure(results: Mapping[str, GroupScores]) -> "Figure":
    """Draws both readings of the group scores, the groups sorted by their score.

    Args:
        results: For every name, such as of a network, what `group_scores` returned.

    Returns:
        A `matplotlib.figure.Figure`. Dotted lines are those of the whole images.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure = new_figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    for name, result in results.items():
        for axes, values, whole in (
            (left, result.mean_score, result.whole_scores),
            (right, result.hit_rate, result.whole_hits),
        ):
            ranks = np.arange(1, len(values) + 1)
            (line,) = axes.plot(ranks, np.sort(values)[::-1], "o-", ms=3, label=name)
            axes.axhline(whole.mean(), color=line.get_color(), ls=":", lw=1)
    left.set_ylabel("mean score (probability of the class)")
    right.set_ylabel("hit rate (class is the most probable)")
    for axes in (left, right):
        axes.set_xlabel("groups, best first")
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    return figure


def class_activations_figure(
    activations: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> "Figure":
    """Draws the mean activations of groups, a line for each class.

    Args:
        activations: What `class_activations` returned.
        class_names: The names of the classes.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure = new_figure(9, 2.1 * len(activations) + 0.5)
    rows = figure.subplots(len(activations), 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, activations.items(), strict=True):
        for index, (label, line) in enumerate(zip(class_names, values, strict=True)):
            axes.plot(line, "o-", ms=2, lw=1, color=f"C{index % 10}", label=label)
        axes.set_title(name, fontsize=9)
        axes.set_ylabel("mean activation")
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("group of channels")
    handles, labels = rows[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return figure


def attention_figure(
    images: np.ndarray,
    gates: Mapping[str, np.ndarray],
    data_format: DataFormat | None = None,
) -> "Figure":
    """Draws the mean over the channels of each attention's gates.

    Args:
        images: A batch, normalised or not; one row each.
        gates: What `attention_maps` returned for it.
        data_format: Of the images.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    pictures = displayable(images, data_format)
    figure = new_figure(1.5 * (1 + len(gates)) + 0.4, 1.7 * len(pictures) + 0.3)
    grid = figure.subplots(len(pictures), 1 + len(gates), squeeze=False)
    for row, picture in enumerate(pictures):
        draw_image(grid[row, 0], picture)
        for axes, (name, gate) in zip(grid[row, 1:], gates.items(), strict=True):
            draw_gate(axes, gate[row], name.removesuffix(f"_{layer_names.ATTENTION}"))
    return figure


def draw_gate(axes, gate: np.ndarray, name: str) -> None:
    """Draws the mean of a gate `(height, width, channels)` over its channels.

    A gate that is the same everywhere is drawn as a curve of its channels.
    """
    if gate.shape[:2] == (1, 1):
        values = np.sort(gate[0, 0])
        axes.plot(np.linspace(0, 1, len(values)), values, color="C0")
        axes.set_xticks([])
        axes.tick_params(labelsize=7)
        axes.set_xlabel("channels, sorted", fontsize=8)
    else:
        values = gate.mean(axis=-1)
        # Differences of less than a percent must not look like contrasts.
        low = min(values.min(), values.mean() - GATE_SPAN / 2)
        high = max(values.max(), values.mean() + GATE_SPAN / 2)
        draw_image(axes, values, cmap="viridis", vmin=low, vmax=high)
    axes.set_title(f"{name}\n{values.min():.3f} to {values.max():.3f}", fontsize=9)
