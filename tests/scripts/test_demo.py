"""The main job runs from its command to its files, and its network learns."""

import json
import subprocess
import sys
from pathlib import Path

import command_line
import pytest

import keras_sa.scripts

COMMAND = [sys.executable, "-m", "keras_sa.scripts.main", "demo"]
CLASSIFY = Path(keras_sa.scripts.__file__).with_name("classify_saved_model.py")


def run(*arguments, **kwargs):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, **kwargs
    )


@pytest.mark.slow
def test_demo_trains_exports_and_classifies(tmp_path):
    result = run("--epochs", 3, "--output", tmp_path, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    for name in ("confusion_matrix.png", "predictions.png", "model.keras"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert (tmp_path / "serving" / "1" / "saved_model.pb").is_file()
    accuracy = result.stdout.split("accuracy")[-1].split("%")[0].strip(" │\n")
    # After all eight epochs it is above 97; three show that it learns and is served.
    assert float(accuracy) > 80

    images = sorted((tmp_path / "images").iterdir())
    output = subprocess.run(
        [
            sys.executable,
            CLASSIFY,
            tmp_path / "serving" / "1",
            *images,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    assert all(line["valid"] for line in lines)
    right = [
        line["label"] == path.name[0] for line, path in zip(lines, images, strict=True)
    ]
    assert sum(right) >= len(right) * 0.7


@pytest.mark.parametrize(
    "arguments, message, code",
    [
        (["--network", "vgg"], "--network must be one of", 2),
        (["--batch-size", "7"], "--batch-size must be a multiple of the replicas", 2),
        (["--dataset", "nothing"], "source='nothing'", 1),
    ],
)
def test_bad_arguments_are_refused(arguments, message, code, tmp_path):
    result = command_line.run("demo", *arguments, "--output", tmp_path, code=code)
    assert message in " ".join(result.output.replace("│", " ").split())
