"""The numbers of the published network; how they were made is in golden's README."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


def load(name):
    """The arrays of a golden file; skips the test where the folder is missing."""
    path = GOLDEN / name
    if not path.is_file():
        pytest.skip(f"the golden data is not here: {path}")
    if path.suffix == ".json":
        return json.loads(path.read_text())
    return dict(np.load(path))


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
