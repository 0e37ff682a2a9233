"""The report of a study: a table that claims what the runs carry, and pictures."""

import itertools
import math
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from keras_sa.study.statistics import Interval
from keras_sa.study.statistics import mean_interval
from keras_sa.study.statistics import paired_difference
from keras_sa.utils.extras import require_extra
from keras_sa.utils.files import replacing

REFERENCES = ("none", "sa")
Results = Mapping[str, Mapping[int, float]]


def write_report(
    directory: str | Path,
    title: str,
    results: Results,
    costs: Mapping[str, Mapping[str, float]],
    description: Sequence[str] = (),
) -> str:
    """Writes `README.md`, `accuracy.png` and `cost.png`.

    Args:
        directory: Where they go.
        title: First line of the table.
        results: Name of the network to seed to accuracy in 0..1.
        costs: Name to its costs, each a column: numbers by the name of the cost.
            Every name has the same ones; may be empty.
        description: Paragraphs that stand before the table.

    Returns:
        The Markdown text.
    """
    directory = Path(directory)
    lines = [f"# {title}", ""]
    for paragraph in description:
        lines += [paragraph, ""]
    lines += _table(results, costs)
    lines += ["", *_verdicts(results), ""]
    lines += ["![accuracy with 95 % intervals](accuracy.png)", ""]
    _draw_accuracy(directory / "accuracy.png", results)
    cost = next(iter(next(iter(costs.values()), {})), None)
    if cost is not None:
        lines += [f"![accuracy against {cost}](cost.png)", ""]
        _draw_cost(directory / "cost.png", results, costs, cost)
    text = "\n".join(lines)
    with replacing(directory / "README.md") as path:
        path.write_text(text, encoding="utf-8")
    return text


def _table(results, costs):
    references = [name for name in REFERENCES if name in results]
    columns = list(next(iter(costs.values()), {}))
    head = ["network", "runs", "accuracy, %"]
    head += [f"difference to {name}, points" for name in references] + columns
    rows = []
    for name, runs in results.items():
        cells = [name, str(len(runs)), _percent(mean_interval(list(runs.values())))]
        for reference in references:
            difference = paired_difference(runs, results[reference])
            cells.append("" if name == reference else _percent(difference, sign="+"))
        cells += [f"{costs[name][c]:,.10g}" if name in costs else "" for c in columns]
        rows.append(cells)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def _percent(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "no common seed"
    text = f"{100 * interval.mean:{sign}.2f}"
    if math.isnan(interval.half_width):
        return text + " (one run)"
    return text + f" ± {100 * interval.half_width:.2f}"


def _verdicts(results):
    """What the paired differences say, and how many of them were looked at."""
    references = [name for name in REFERENCES if name in results]
    compared, found = 0, []
    for reference in references:
        for name, runs in results.items():
            if name == reference or (reference == "sa" and name == "none"):
                continue
            difference = paired_difference(runs, results[reference])
            compared += 1
            if difference and difference.excludes_zero:
                word = "above" if difference.mean > 0 else "below"
                found.append(f"- {name} is {word} {reference}")
    if not compared:
        return ["Nothing to compare: one network, or no reference."]
    intro = (
        f"± is half of a 95 % Student-t interval over the seeds. Of {compared} paired "
        f"differences, about {0.05 * compared:.1f} would exclude zero by chance alone. "
    )
    if not found:
        return [
            intro + "**None excludes zero: these runs carry no ranking, neither to "
            "the network without attention nor to SA.**"
        ]
    return [
        intro
        + "Those that do are listed; every other pair is undecided, and the order "
        "of its rows says nothing:",
        "",
        *found,
    ]


def _draw_accuracy(path, results):
    figure, axes = _figure(0.42 * len(results) + 1.4)
    for row, runs in enumerate(results.values()):
        values = [100 * value for value in runs.values()]
        interval = mean_interval(values)
        width = 0 if math.isnan(interval.half_width) else interval.half_width
        axes.scatter(values, [row] * len(values), s=14, color="0.6", zorder=2)
        axes.errorbar(interval.mean, row, xerr=width, fmt="o", color="C0", capsize=4)
    axes.set_yticks(range(len(results)), list(results))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("accuracy, %: runs (grey), mean and 95 % interval (blue)")
    _save(figure, path)


def _draw_cost(path, results, costs, cost):
    figure, axes = _figure(3.6)
    # Networks of nearly the same cost stand so close that names would cover them.
    # Eleven markers and ten colours: the eleventh network does not look like the first.
    for (name, runs), marker in zip(
        results.items(), itertools.cycle("osD^v<>pP*X"), strict=False
    ):
        if name not in costs:
            continue
        interval = mean_interval([100 * value for value in runs.values()])
        width = 0 if math.isnan(interval.half_width) else interval.half_width
        point = (costs[name][cost], interval.mean)
        axes.errorbar(*point, yerr=width, fmt=marker, capsize=3, alpha=0.8, label=name)
    axes.grid(alpha=0.3)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(cost)
    axes.set_ylabel("accuracy, %, with 95 % interval")
    figure.legend(loc="outside right upper", fontsize=9)
    _save(figure, path)


def _figure(height):
    # Not pyplot, which would look for a display.
    figure_class = require_extra("matplotlib.figure", "study").Figure
    figure = figure_class(figsize=(7, height), layout="constrained")
    return figure, figure.subplots()


def _save(figure, path):
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
