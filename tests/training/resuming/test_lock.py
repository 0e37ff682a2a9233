"""One training at a time in a directory."""

import multiprocessing
import signal

import pytest

from keras_sa.training.resuming.lock import only_training


def hold(directory, held):
    with only_training(directory):
        held.set()
        signal.pause()


@pytest.mark.slow
def test_two_at_once_are_refused_until_one_is_killed(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path, held))
    process.start()
    assert held.wait(60)
    with pytest.raises(ValueError, match="Another process is training"):
        with only_training(tmp_path):
            pass
    process.kill()
    process.join()
    with only_training(tmp_path):
        pass
