"""The numbers of the published network, and the weights and inputs they belong to."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parent / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "golden"


def load(name):
    """The arrays of a file of tests/golden, or the content of a JSON file."""
    path = DATA / name
    if path.suffix == ".json":
        return json.loads(path.read_text())
    return dict(np.load(path))


def checkpoint(name):
    """The path of a checkpoint file too large for the repository, or a skip."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs a checkpoint too large for the repository: {path}")
    return path


def draw(name):
    return np.random.RandomState(zlib.crc32(name.encode()))


def published_weight(name, shape):
    """The value that the golden networks have at this published name."""
    a = draw(name).standard_normal(shape)
    if name.endswith("running_var"):
        return 1 + 0.2 * abs(a)
    if name.endswith("running_mean"):
        return 0.1 * a
    if len(shape) == 4 and shape[0] > 1 and "sa." not in name:
        return a * np.sqrt(2 / (shape[1] * shape[2] * shape[3]))
    if ".sa." in name:
        return 0.5 * a + name.endswith("gn.weight")
    if name == "fc.weight":
        return 0.05 * a
    if name.endswith("weight"):
        return 0.1 * a + (0.4 if "bn3" in name else 1.0)
    return 0.1 * a


def set_published_weights(model):
    """Gives a network the weights of the golden ones; returns them by name."""
    from keras_sa.weights.mapping import published_weights

    table = published_weights(model)
    for name, weight in table.items():
        value = published_weight(name, weight.shape)
        weight.variable.assign(weight.to_keras(value))
    return table


def images(name, shape):
    """Images drawn in the published (..., channels, height, width) order."""
    array = draw(name).standard_normal(shape)
    return np.moveaxis(array, -3, -1).astype("float32")
