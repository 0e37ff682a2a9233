"""The layers give the same numbers on every backend that is installed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import outputs_on_backend
import pytest
from needed import needed_elsewhere

SCRIPT = Path(outputs_on_backend.__file__)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_numbers_as_tensorflow(backend, tmp_path):
    needed_elsewhere(backend)
    path = tmp_path / "outputs.npz"
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(
            [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]
        ),
    }
    subprocess.run(
        [sys.executable, SCRIPT, path], env=environment, check=True, timeout=300
    )
    ours = outputs_on_backend.outputs()
    theirs = np.load(path)
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        np.testing.assert_allclose(
            theirs[name], array, rtol=1e-4, atol=1e-5, err_msg=name
        )
