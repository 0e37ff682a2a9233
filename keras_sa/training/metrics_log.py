"""The metrics of every epoch in files."""

import csv
import io
import json
import time
from pathlib import Path

import keras

from keras_sa.utils.files import write_atomically


class MetricsLog(keras.callbacks.Callback):
    """Writes `metrics.jsonl` and `metrics.csv`, one row an epoch.

    Rows hold the epoch, counted from 1, the learning rate, the seconds and the
    images/s of its training without its validation, and all of Keras' logs. A
    training that is resumed in `keras_sa.training.fit` goes on with the rows of its
    state: none is lost or there twice.

    Args:
        directory: Where the files are.
        batch_size: The global batch.
        write: Whether this process writes: the chief does.
    """

    def __init__(self, directory: str | Path, batch_size: int, write: bool = True):
        super().__init__()
        self.directory = Path(directory)
        self.batch_size = batch_size
        self.write = write
        self.rows = []

    def get_state(self) -> list[dict]:
        return self.rows

    def set_state(self, state: list[dict]) -> None:
        self.rows = state

    def on_epoch_begin(self, epoch, logs=None):
        self._started = self._ended = time.perf_counter()
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        self._ended = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = self._ended - self._started
        images = self._steps * self.model.steps_per_execution * self.batch_size
        row = {
            # Not `epoch`, which begins anew when all layers follow the last one.
            "epoch": len(self.rows) + 1,
            "learning_rate": current_learning_rate(self.model.optimizer),
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 2) if seconds else 0.0,
            **(logs or {}),
        }
        self.rows = [*self.rows, row]
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


def current_learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of the next step."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


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
