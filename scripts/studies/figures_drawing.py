"""The pictures of `keras-sa figures`."""

from pathlib import Path

import numpy as np

from keras_sa.scripts.studies.figures_measurement import PLACE_NAMES
from keras_sa.scripts.studies.figures_measurement import by_stage
from keras_sa.scripts.studies.figures_measurement import similarity

# Okabe and Ito's colours, which colour-blind people tell apart, and other strokes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
STROKES = ("-", "--", ":", "-.", (0, (1, 2)))
READINGS = {"scores": "mean score", "hits": "hit rate"}
DRAWN_CLASSES = 5
DPI = 100


def draw(
    measured: dict[tuple[str, int], dict], class_names: tuple[str, ...], folder: Path
) -> list[Path]:
    """Writes the figures as PNG files.

    Args:
        measured: What `figures_measurement.measure` returned, by the network's name
            and seed.
        class_names: The names of all classes.
        folder: Where to write.

    Returns:
        The files.
    """
    figures = {
        "group_scores.png": _group_scores(measured),
        "class_activations.png": _class_activations(measured, class_names),
        "class_similarity.png": _class_similarity(measured, class_names),
        "grad_cam.png": _grad_cam(measured, class_names),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=DPI)
    return [folder / name for name in figures]


def _styles(measured):
    names = dict.fromkeys(name for name, _ in measured)
    return dict(zip(names, zip(COLOURS, STROKES, strict=True), strict=False))


def _group_scores(measured):
    from keras_sa.visualization.canvas import new_figure

    figure = new_figure(9, 5.2)
    grid = figure.subplots(len(READINGS), len(PLACE_NAMES), sharex=True, sharey="row")
    styles = _styles(measured)
    for row, (reading, label) in zip(grid, READINGS.items(), strict=True):
        for axes, (place, title) in zip(row, PLACE_NAMES.items(), strict=True):
            for (name, seed), arrays in measured.items():
                values = arrays.get(f"{place}_{reading}")
                if values is not None:
                    colour, stroke = styles[name]
                    means = np.sort(values.mean(axis=0))[::-1]
                    ranks = np.arange(1, len(means) + 1)
                    axes.plot(
                        ranks,
                        means,
                        color=colour,
                        ls=stroke,
                        lw=1.3,
                        label=name if seed == 0 else None,
                    )
            axes.grid(alpha=0.3)
            if reading == "scores":
                axes.set_title(title, fontsize=10)
        row[0].set_ylabel(f"{label} of a group")
        row[0].set_ylim(0)
    for axes in grid[-1]:
        axes.set_xlabel("groups, best first")
    handles, labels = grid[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _class_activations(measured, class_names):
    from keras_sa.visualization.canvas import new_figure

    (name, _), arrays = next(iter(measured.items()))
    stages = by_stage(arrays, "activations")
    figure = new_figure(9, 1.75 * len(stages) + 0.8)
    grid = figure.subplots(len(stages), 1, sharex=True)
    drawn = np.linspace(0, len(class_names) - 1, DRAWN_CLASSES).round().astype(int)
    for axes, (stage, profiles) in zip(grid, stages.items(), strict=True):
        for index, colour, stroke in zip(drawn, COLOURS, STROKES, strict=True):
            axes.plot(
                np.arange(1, profiles.shape[1] + 1),
                profiles[index],
                color=colour,
                ls=stroke,
                lw=1.3,
                label=class_names[index],
            )
        axes.set_title(
            f"stage {stage}: mean correlation of two of all {len(profiles)} classes "
            f"{similarity(profiles):.2f}",
            fontsize=9,
        )
        axes.margins(x=0.01)
        axes.grid(alpha=0.3)
    grid[-1].set_xlabel("group of channels")
    figure.supylabel("mean activation", fontsize=10)
    handles, labels = grid[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9
    )
    legend.set_title(name)
    return figure


def _class_similarity(measured, class_names):
    from keras_sa.visualization.canvas import new_figure

    (name, _), arrays = next(iter(measured.items()))
    stages = by_stage(arrays, "activations")
    ends = min(stages), max(stages)
    matrices = [np.corrcoef(stages[stage]) for stage in ends]
    low = np.floor(10 * min(matrix.min() for matrix in matrices)) / 10
    ticks = range(len(class_names))
    figure = new_figure(11.5, 4)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(2, 1))[0]
    left.suptitle("correlation of two classes' profiles", fontsize=10)
    grid = left.subplots(1, 2, sharey=True)
    for axes, stage, matrix in zip(grid, ends, matrices, strict=True):
        image = axes.imshow(matrix, vmin=low, vmax=1, cmap="viridis")
        axes.set_title(f"{name}, stage {stage}", fontsize=9)
        axes.set_xticks(ticks, class_names, rotation=90, fontsize=8)
        axes.set_yticks(ticks, class_names, fontsize=8)
    left.colorbar(image, ax=grid, shrink=0.8)
    right.suptitle("mean over all pairs of classes", fontsize=10)
    axes = right.subplots()
    for (name, seed), own in measured.items():
        colour, stroke = _styles(measured)[name]
        profiles = by_stage(own, "activations")
        axes.plot(
            [f"stage {stage}" for stage in profiles],
            [similarity(values) for values in profiles.values()],
            "o",
            ls=stroke,
            color=colour,
            ms=4,
            lw=1.3,
            label=name if seed == 0 else None,
        )
    axes.axhline(0, color="black", lw=0.6)
    axes.set_ylim(top=1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _grad_cam(measured, class_names):
    from keras_sa.visualization.canvas import displayable
    from keras_sa.visualization.canvas import draw_image
    from keras_sa.visualization.canvas import new_figure
    from keras_sa.visualization.canvas import overlay

    kinds = {name: arrays for (name, seed), arrays in measured.items() if seed == 0}
    some = next(iter(kinds.values()))
    # No choice: the first test image of every class.
    first = [
        int(np.flatnonzero(some["labels"] == i)[0]) for i in range(len(class_names))
    ]
    images = some["images"][first]
    figure = new_figure(1.15 * len(first) + 0.5, 1.45 * (1 + len(kinds)))
    grid = figure.subplots(1 + len(kinds), len(first))
    for axes, image, label in zip(
        grid[0], displayable(images, "channels_last"), class_names, strict=True
    ):
        draw_image(axes, image, label)
    grid[0, 0].set_ylabel("image")
    for row, (name, arrays) in zip(grid[1:], kinds.items(), strict=True):
        pictures = overlay(images, arrays["maps"][first], data_format="channels_last")
        for axes, picture, scores, label in zip(
            row, pictures, arrays["predictions"][first], range(len(first)), strict=True
        ):
            best = int(scores.argmax())
            title = "" if best == label else f"{class_names[best]}?"
            draw_image(axes, picture, f"{scores[label]:.0%}")
            axes.set_xlabel(title, fontsize=8, labelpad=2)
        row[0].set_ylabel(name)
    return figure
