"""Commands start quietly, and a wrong usage is told before TensorFlow is imported."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from keras_sa.scripts.main import app
sys.argv[1:] = {arguments!r}
try:
    app()
except SystemExit as stop:
    print("tensorflow" in sys.modules, stop.code)
"""


def keras_sa(*arguments, level=None):
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=list(arguments))],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["detect", "train", "--help"], 0),
        (["trian"], 2),
        (["train", "--nope"], 2),
        (["export"], 2),
        (["benchmark", "layer", "--repeats", "0"], 2),
    ],
    ids=str,
)
def test_usage_is_told_without_tensorflow(arguments, code):
    result = keras_sa(*arguments)
    assert result.stdout.splitlines()[-1] == f"False {code}", result.stderr[-2000:]


# It imports TensorFlow, and asks for the devices.
BAD_NETWORK = ("evaluate", "no_such_training")


@pytest.mark.slow
def test_tensorflow_starts_quietly():
    result = keras_sa(*BAD_NETWORK)
    assert result.stdout == "True 1\n"
    assert result.stderr.startswith("Error: There is no finished training")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["variable", "option"])
def test_what_tensorflow_says_can_be_asked_for(how):
    if how == "variable":
        result = keras_sa(*BAD_NETWORK, level="0")
    else:
        result = keras_sa("--traceback", *BAD_NETWORK)
    # Every build of TensorFlow says which instructions of the processor it uses.
    assert "TensorFlow binary is optimized" in result.stderr


@pytest.mark.parametrize("level", ["2", "3"])
def test_other_errors_at_the_import_are_kept(level, tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 00:00:1.2 3 a.cc:1] information\\n')\n"
        "os.write(2, b'E0000 00:00:1.2 3 b.cc:1] the driver is too old\\n')\n"
        "raise ImportError('broken')\n"
    )
    program = (
        "from keras_sa.scripts.quiet_tensorflow import quiet_tensorflow\n"
        "quiet_tensorflow()\n"
        "import tensorflow\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": level}
    paths = [str(tmp_path), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "the driver is too old" in result.stderr
    assert "ImportError: broken" in result.stderr
    assert "information" not in result.stderr
