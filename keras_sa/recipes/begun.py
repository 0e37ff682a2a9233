"""What a training was begun with, so that no other one goes on in its directory."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import filelock

from keras_sa.utils.files import write_atomically

BEGUN = "training.json"
LOCK = ".lock"
# More epochs go on; what a recipe says about itself changes nothing.
MAY_DIFFER = ("recipe.epochs", "recipe.command", "recipe.hardware", "recipe.expected")
# What a training leaves in its directory.
WRITTEN = (
    BEGUN,
    "head_state",
    "metrics.csv",
    "metrics.jsonl",
    "model.keras",
    "settings.json",
    "state",
)


def check_begun(directory: Path, settings: dict) -> None:
    """Compares a training with the one that was begun in its directory.

    Args:
        directory: The training's.
        settings: What the training consists of, as JSON knows it.

    Raises:
        ValueError: If the directory holds another training; the message says in what
            they differ.
    """
    files = [directory / name for name in (BEGUN, "settings.json")]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        return
    before, now = _flat(json.loads(found.read_text())), _flat(settings)
    differences = [
        f"{name} was {_short(before[name])}, now {_short(now[name])}"
        for name in before.keys() & now.keys() - set(MAY_DIFFER)
        if before[name] != now[name]
    ]
    if differences:
        raise ValueError(
            f"{str(directory)!r} holds another training: "
            f"{'; '.join(sorted(differences))}. Give the same options to go on, "
            "another directory for another training, or --restart to delete the "
            "first one."
        )


def write_begun(directory: Path, settings: dict) -> None:
    """Leaves for the next call what this training consists of."""
    write_atomically(directory / BEGUN, json.dumps(settings, indent=1) + "\n")


def remove_training(directory: Path) -> None:
    """Deletes what a training has written, and nothing else."""
    for name in WRITTEN:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def only_training(directory: Path):
    """Keeps others out of a directory; a process that was killed keeps nobody out.

    Raises:
        ValueError: If another process trains there.
    """
    lock = filelock.FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise ValueError(
            f"Another process is training in {str(directory)!r}: wait for its end, "
            "stop it, or give another directory."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _flat(settings, prefix=""):
    values = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            values.update(_flat(value, f"{prefix}{key}."))
        else:
            values[f"{prefix}{key}"] = value
    return values


def _short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
