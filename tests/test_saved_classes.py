"""After `import keras_sa` alone Keras loads what was saved with this package."""

import importlib
import os
import pkgutil
import subprocess
import sys

import keras
import pytest
from detection_samples import tiny_detector
from tiny_networks import build_tiny

import keras_sa
from keras_sa.applications import SAMaskRCNN
from keras_sa.applications import SARetinaNet
from keras_sa.saved_classes import SAVED_CLASSES
from keras_sa.serving import fuse
from keras_sa.training import L2SGD


def python(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model of each kind, saved."""
    folder = tmp_path_factory.mktemp("saved")
    compiled = build_tiny()
    compiled.compile(L2SGD(0.1), "mse")
    models = {
        "compiled": compiled,
        "bam": build_tiny("bam"),
        "fused": fuse(build_tiny()),
        "masks": tiny_detector(SAMaskRCNN),
        "boxes": tiny_detector(SARetinaNet),
    }
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    return {folder / f"{name}.keras": model.name for name, model in models.items()}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, None], ids=["after Keras", "before Keras"])
def test_saved_models_load(files, count):
    files = dict(list(files.items())[:count])
    program = f"""import {"keras," if count else ""} keras_sa, sys
assert ("keras" in sys.modules) == {bool(count)}
import keras
for path in {[str(path) for path in files]!r}:
    print(keras.saving.load_model(path).name)
"""
    result = python(program)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split() == list(files.values())


def test_every_registered_class_is_known():
    # Some modules have extras that may be missing; none of these saves a class.
    for module in pkgutil.walk_packages(keras_sa.__path__[:1], "keras_sa."):
        try:
            importlib.import_module(module.name)
        except ImportError:
            continue
    registered = {}
    for name, found in keras.saving.get_custom_objects().items():
        if name.startswith("keras_sa>"):
            registered.setdefault(found.__module__, set()).add(found.__name__)
    assert registered == {module: set(names) for module, names in SAVED_CLASSES.items()}


@pytest.mark.slow
def test_importing_imports_nothing_more():
    result = python(
        "import sys, keras; before = set(sys.modules); import keras_sa;"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert set(result.stdout.split()) <= {
        "keras_sa",
        "keras_sa.first_import",
        "keras_sa.saved_classes",
    }


def test_networks_need_no_detection_and_no_training():
    result = python(
        "import sys; from keras_sa.applications import SAResNet50; print(*sys.modules)"
    )
    rooms = {
        name.split(".")[1] for name in result.stdout.split() if "keras_sa." in name
    }
    assert "applications" in rooms
    assert not rooms & {"data", "detection", "recipes", "serving", "training"}


@pytest.mark.slow
def test_looking_for_keras_does_not_use_up_the_registration():
    result = python(
        "import keras_sa, importlib.util; importlib.util.find_spec('keras');"
        "import keras; print('keras_sa>CBAM' in keras.saving.get_custom_objects())"
    )
    assert result.stdout.split() == ["True"], result.stderr[-2000:]
