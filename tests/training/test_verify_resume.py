"""Trainings that are killed end as if they had not been; the short version."""

import random

import pytest

from keras_sa.scripts import verify_resume


def test_killed_process_resumes_bit_for_bit():
    row = verify_resume._compare(1, kills=1, epochs=10, rng=random.Random(0))
    assert row["kills"] == "1"
    assert row["verdict"] == "equal"


@pytest.mark.slow
def test_killed_workers_resume_bit_for_bit():
    row = verify_resume._compare(2, kills=2, epochs=10, rng=random.Random(0))
    assert row["kills"] == "2"
    assert row["verdict"] == "equal"
