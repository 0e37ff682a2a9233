"""Trainings that are killed end as if they had not been; the short version."""

import random
import subprocess
import sys
import time

import pytest

from keras_sa.scripts.checks import verify_resume
from keras_sa.training import EXIT_PREEMPTED
from keras_sa.training.resuming.generations import Generations


@pytest.mark.slow
@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
def test_killed_process_resumes_bit_for_bit(xla):
    row = verify_resume._compare(1, kills=1, epochs=10, xla=xla, rng=random.Random(0))
    assert row["kills"] == "1"
    assert row["verdict"] == "equal"


@pytest.mark.slow
@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
def test_killed_workers_resume_bit_for_bit(xla):
    row = verify_resume._compare(2, kills=2, epochs=10, xla=xla, rng=random.Random(0))
    assert row["kills"] == "2"
    assert row["verdict"] == "equal"


# A process of its own: a SIGTERM that the launcher misses ends it, and not the tests.
LAUNCHER = """
import sys
from keras_sa.training.cluster.launch import launch
sys.exit(launch(sys.argv[1:], workers=2, grace=200.0))
"""


@pytest.mark.slow
def test_sigterm_saves_and_ends_two_workers_with_their_own_code(tmp_path):
    training = [sys.executable, "-W", "ignore", verify_resume.__file__]
    training += ["--directory", str(tmp_path), "--epochs", "100000"]
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *training],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with launcher:
        while not (tmp_path / "progress").exists() and launcher.poll() is None:
            time.sleep(0.1)
        launcher.terminate()
        output, _ = launcher.communicate()
    assert launcher.returncode == EXIT_PREEMPTED, output
    _, metadata = Generations(tmp_path / "state").read()
    assert (metadata["epoch"], metadata["step"]) > (0, 0)
