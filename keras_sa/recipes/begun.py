"""What a training was begun with, so that no other one goes on in its directory."""

import json
import shutil
from pathlib import Path

from keras_sa.training.resuming.differences import differences
from keras_sa.utils.files import write_atomically

BEGUN = "training.json"
STATES = ("head_state", "state")
# What a recipe says about itself changes nothing.
MAY_DIFFER = ("command", "hardware", "expected")
# What a training leaves in its directory.
WRITTEN = (
    BEGUN,
    *STATES,
    "metrics.csv",
    "metrics.jsonl",
    "model.keras",
    "settings.json",
)


def check_begun(directory: Path, settings: dict) -> None:
    """Compares a training with the one that was begun in its directory.

    More epochs than before go on; all else must be the same.

    Args:
        directory: The training's.
        settings: What the training consists of, as JSON knows it.

    Raises:
        ValueError: If the directory holds another training, the message says in what
            they differ; or one of which nothing is known.
    """
    files = [directory / name for name in (BEGUN, "settings.json")]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        if any((directory / state).exists() for state in STATES):
            raise ValueError(
                f"{str(directory)!r} holds an unfinished training of an earlier "
                "version, which did not write down with what it was begun: give "
                "another directory, or --restart to delete it."
            )
        return
    before = _compared(json.loads(found.read_text()))
    now = _compared(settings)
    if before["recipe"]["epochs"] < now["recipe"]["epochs"]:
        before["recipe"]["epochs"] = now["recipe"]["epochs"]
    found = differences(before, now)
    if found:
        raise ValueError(
            f"{str(directory)!r} holds another training: {'; '.join(found)}. "
            "Give the same options to go on, another directory for another training, "
            "or --restart to delete the first one."
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


def _compared(settings):
    recipe = {k: v for k, v in settings["recipe"].items() if k not in MAY_DIFFER}
    return {**settings, "recipe": recipe}
