"""The metrics of every epoch in files."""

import csv
import io
import json
from pathlib import Path

from keras_sa.recipes.epoch_log import EpochLog
from keras_sa.utils.files import write_atomically


class MetricsLog(EpochLog):
    """Writes `metrics.jsonl` and `metrics.csv`, one row an epoch.

    Rows hold the epoch, counted from 1, and what `EpochLog` logs. A training that is
    resumed in `keras_sa.training.fit` goes on with the rows of its state: none is
    lost or there twice.

    Args:
        directory: Where the files are.
        batch_size: The global batch.
        write: Whether this process writes: the chief does.
    """

    def __init__(self, directory: str | Path, batch_size: int, write: bool = True):
        super().__init__(directory, batch_size, write)
        self.rows: list[dict] = []

    def get_state(self) -> list[dict]:
        return self.rows

    def set_state(self, state: list[dict]) -> None:
        self.rows = state

    def log(self, epoch, values):
        # Not `epoch`, which begins anew when all layers follow the last one.
        self.rows = [*self.rows, {"epoch": len(self.rows) + 1, **values}]
        if self.write:
            self.directory.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(each) + "\n" for each in self.rows)
            write_atomically(self.directory / "metrics.jsonl", lines)
            write_atomically(self.directory / "metrics.csv", self._csv())

    def _csv(self):
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def read_metrics(directory: str | Path) -> list[dict]:
    """The rows that `MetricsLog` wrote."""
    text = (Path(directory) / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def plot_metrics(rows: list[dict], path: str | Path) -> None:
    """Draws the learning curves: loss and accuracies over the epochs.

    Args:
        rows: See `read_metrics`.
        path: The image file. Its suffix says the format.

    Raises:
        ImportError: If matplotlib is missing.
    """
    from keras_sa.utils.extras import require_extra

    figures = require_extra("matplotlib.figure", "visualization")
    figure = figures.Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for axis, title in zip(axes, ("loss", "accuracy"), strict=True):
        names = dict.fromkeys(n for row in rows for n in row if n.endswith(title))
        for name in names:
            axis.plot(epochs, [row.get(name) for row in rows], "o-", ms=3, label=name)
        axis.set_xlabel("epoch")
        axis.set_title(title)
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
