"""States on disk: whatever is damaged, nothing wrong is read."""

import random

import ml_dtypes
import numpy as np
import pytest

from keras_sa.training.resuming.generations import Generations


def value_of(found):
    return found[0]["value"].item()


@pytest.fixture
def three(tmp_path):
    generations = Generations(tmp_path)
    for value in (1, 2, 3):
        generations.write({"value": np.array(value)}, {"note": value})
    return generations


def test_nothing_is_read_from_nothing(tmp_path):
    assert Generations(tmp_path / "missing").read() is None


def test_newest_is_read_and_two_are_kept(three, tmp_path):
    arrays, metadata = three.read()
    assert arrays["value"] == 3
    assert metadata == {"note": 3, "number": 3}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_newest_falls_back_with_a_warning(three, tmp_path, damage):
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[random.Random(0).randrange(len(content))] ^= 1
    kept = {"truncated": content[:-1], "flipped": content, "empty": b""}[damage]
    newest.write_bytes(kept)
    with pytest.warns(UserWarning, match="Damaged"):
        assert value_of(three.read()) == 2
    # The damaged one does not push out the whole one.
    three.write({"value": np.array(4)}, {})
    assert value_of(three.read()) == 4
    max(tmp_path.iterdir()).write_bytes(b"")
    with pytest.warns(UserWarning, match="Damaged"):
        assert value_of(Generations(tmp_path).read()) == 2


def test_all_damaged_is_an_error_and_the_files_are_kept(three, tmp_path):
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="All saved states"):
        three.read()
    assert sorted(tmp_path.iterdir()) == before


def test_unfinished_writing_is_no_state(three, tmp_path):
    newest = max(tmp_path.iterdir())
    (tmp_path / f".{newest.name}.1.tmp").write_bytes(newest.read_bytes()[:100])
    assert value_of(three.read()) == 3


def test_dtypes_come_back(tmp_path):
    generations = Generations(tmp_path)
    arrays = {
        "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
        "float32": np.array([0.1], np.float32),
        "scalar": np.array(7, np.int64),
    }
    generations.write(arrays, {})
    found, _ = generations.read()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
