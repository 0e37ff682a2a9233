"""What XLA compiles is kept, found again, and never mixed up."""

import os
import subprocess
import sys

import pytest

from keras_sa import xla_cache

WHOLE = b"".join(bytes([field << 3 | 2, 200, 1]) + b"x" * 200 for field in (1, 2, 3))


@pytest.fixture
def before_tensorflow(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv(xla_cache.VARIABLE, "--tf_xla_clustering_fuel=7")


def test_the_environment_names_a_folder_and_keeps_its_flags(
    tmp_path, before_tensorflow
):
    folder = xla_cache.keep_compiled(tmp_path / "a folder")
    assert folder.parent == tmp_path / "a folder"
    assert os.environ[xla_cache.VARIABLE] == (
        f"--tf_xla_clustering_fuel=7 {xla_cache.FLAG}='{folder}'"
    )


@pytest.mark.parametrize("kept", [0, 1, 203, 608])
def test_files_that_were_cut_short_are_deleted(tmp_path, before_tensorflow, kept):
    folder = xla_cache.keep_compiled(tmp_path)
    os.environ[xla_cache.VARIABLE] = "--tf_xla_clustering_fuel=7"
    (folder / "whole.pb").write_bytes(WHOLE)
    (folder / "short.pb").write_bytes(WHOLE[:kept])
    assert xla_cache.keep_compiled(tmp_path) == folder
    assert [file.name for file in folder.iterdir()] == ["whole.pb"]


@pytest.mark.parametrize(
    "name", ["TF_DETERMINISTIC_OPS", "XLA_FLAGS", xla_cache.VARIABLE]
)
def test_other_settings_have_other_folders(
    tmp_path, before_tensorflow, monkeypatch, name
):
    folder = xla_cache.keep_compiled(tmp_path)
    monkeypatch.setenv(xla_cache.VARIABLE, "--tf_xla_clustering_fuel=7")
    monkeypatch.setenv(name, "--of_another_value=1")
    assert xla_cache.keep_compiled(tmp_path) != folder


def test_another_version_has_another_folder(tmp_path, before_tensorflow, monkeypatch):
    monkeypatch.setattr(xla_cache.metadata, "version", lambda package: "0.0.0")
    assert "-0.0.0-" in xla_cache.keep_compiled(tmp_path).name


def test_a_second_cache_is_refused(tmp_path, before_tensorflow):
    xla_cache.keep_compiled(tmp_path)
    with pytest.raises(ValueError, match="already: TF_XLA_FLAGS=.*persistent"):
        xla_cache.keep_compiled(tmp_path)


def test_it_is_refused_once_tensorflow_is_imported(tmp_path):
    import tensorflow  # noqa: F401

    with pytest.raises(RuntimeError, match="before TensorFlow is imported"):
        xla_cache.keep_compiled(tmp_path)


PROGRAM = """
import sys
from pathlib import Path

from keras_sa.xla_cache import keep_compiled

folder = keep_compiled(Path(sys.argv[1]))

import keras
import numpy as np
import tensorflow as tf

from keras_sa.training import fit, make_strategy

strategy = make_strategy("mirrored", replicas=2)
for _ in range(int(sys.argv[2])):
    tf.function(lambda x: x + 1)(1.0)
with strategy.scope():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
data = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(4)
fit(model, data, jit_compile=True, synchronized=sys.argv[3] == "sums", verbose=0)
print(sorted(file.name for file in folder.iterdir()))
print([w.tobytes().hex() for w in model.get_weights()])
"""


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["sums", "own"])
def test_the_next_process_compiles_nothing_and_computes_the_same(tmp_path, statistics):
    """Whatever it did before, such as loading a state."""

    def printed(functions):
        command = [sys.executable, "-c", PROGRAM, tmp_path / "cache", functions]
        done = subprocess.run(
            [str(part) for part in (*command, statistics)],
            capture_output=True,
            text=True,
            check=True,
        )
        *_, files, weights = done.stdout.splitlines()
        return files, weights

    files, weights = printed(0)
    assert files.count(".pb") > 2
    assert printed(3) == (files, weights)


@pytest.mark.slow
def test_the_command_chooses_the_cache_before_tensorflow_is_imported(tmp_path):
    options = ("--recipe", "digits", "--strategy", "single", "--dry-run")
    folders = ("--directory", tmp_path / "run", "--xla-cache", tmp_path / "cache")
    command = [sys.executable, "-m", "keras_sa.scripts.main", "train"]
    subprocess.run([str(part) for part in (*command, *options, *folders)], check=True)
    assert len(list((tmp_path / "cache").iterdir())) == 1
