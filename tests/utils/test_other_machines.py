"""What Linux alone has is not needed: macOS and Windows lack these attributes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_sa.utils.cpu_count import cpu_count
from keras_sa.utils.files import write_atomically

LINUX_ONLY = ("sched_getaffinity", "sched_setaffinity", "O_DIRECTORY", "killpg", "fork")


@pytest.fixture
def elsewhere(monkeypatch):
    for name in LINUX_ONLY:
        monkeypatch.delattr(os, name, raising=False)


def test_processors_are_counted(elsewhere):
    assert cpu_count() == os.cpu_count()


def test_an_affinity_is_respected(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert cpu_count() == 1


def test_files_are_written_where_a_folder_cannot_be_opened(monkeypatch, tmp_path):
    opened = os.open

    def windows_open(path, *arguments, **keywords):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", windows_open)
    path = tmp_path / "state.json"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["two"]


def test_images_are_read(elsewhere):
    from keras_sa.data import load

    images = np.zeros((4, 8, 8, 3), "uint8")
    data = load((images, np.arange(4) % 2), "all", batch_size=2, training=False)
    assert sum(len(batch[0]) for batch in data.epoch()) == 4


PROGRAM = f"""
import importlib, os, pkgutil, signal, sys
for name in {LINUX_ONLY}:
    vars(os).pop(name, None)
del signal.SIGKILL
sys.modules["fcntl"] = sys.modules["resource"] = None
import keras_sa
from keras_sa import applications, scripts
paths = [*keras_sa.__path__[:1], *applications.__path__, *scripts.__path__]
names = ["keras_sa.", "keras_sa.applications.", "keras_sa.scripts."]
for path, name in zip(paths, names):
    for module in pkgutil.walk_packages([path], name):
        last = module.name.split(".")[-1]
        # A program that forbids this package, and packages that are not installed.
        if last not in ("classify_saved_model", "checks"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name in ("fcntl", "resource"):
                    raise
"""


@pytest.mark.slow
def test_everything_imports():
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
