"""Training on many devices gives the result of one; some ways of many."""

import keras
import numpy as np
import pytest

from keras_sa.scripts import verify_distributed
from keras_sa.scripts.verify_distributed import CASES
from keras_sa.scripts.verify_distributed import LIMITS
from keras_sa.scripts.verify_distributed import difference
from keras_sa.scripts.verify_distributed import train
from keras_sa.training import make_strategy

FAST = {
    # Batches of 1 leave replicas empty.
    ("last batch of 1 (25 / 8)", 4),
    ("global_clipnorm", 2),
    ("gradient accumulation", 2),
    ("EMA overwriting", 2),
    ("samples of weight 0", 2),
}
ALL = {(name, replicas) for name in CASES for replicas in (2, 4)}


@pytest.fixture(scope="module")
def single():
    return make_strategy("single")


def check(name, replicas, single, dtype):
    case = CASES[name]
    strategy = make_strategy("mirrored", replicas=replicas)
    result = train(case, strategy, prepared=True, dtype=dtype)
    reference = train(case, single, prepared=False, dtype=dtype)
    limit = LIMITS["mixed" if case.policy else dtype]
    assert difference(result, reference) <= limit


@pytest.mark.filterwarnings("ignore:.*triggered tf.function retracing")
@pytest.mark.parametrize("name, replicas", sorted(FAST))
def test_equals_plain_keras_on_one_device(name, replicas, single):
    # float64 leaves 1e-15 of rounding: what is not equal is wrong.
    check(name, replicas, single, "float64")


@pytest.mark.slow
@pytest.mark.parametrize("name, replicas", sorted(ALL - FAST))
def test_equals_plain_keras_in_every_way(name, replicas, single):
    check(name, replicas, single, "float32")


def test_overflow_in_one_replica_skips_the_step_everywhere(single):
    case = CASES["mixed_float16, overflow"]
    result = train(case, make_strategy("mirrored", replicas=2), prepared=True)
    *weights, scale, iterations = result["weights"]
    assert all(np.all(np.isfinite(each)) for each in weights)
    # One overflow in each of two epochs of four steps.
    assert scale == 2**15 / 4
    assert iterations == 6


@pytest.mark.parametrize(
    "name", ["clipnorm", "uneven last batch (29 / 8)"], ids=["clipping", "uneven"]
)
def test_keras_alone_is_still_wrong(name, single):
    """When this fails, Keras has mended it: a hook can go."""
    strategy = make_strategy("mirrored", replicas=2)
    alone = train(CASES[name], strategy, prepared=False, dtype="float64")
    reference = train(CASES[name], single, prepared=False, dtype="float64")
    assert difference(alone, reference) > 1e-4


def test_two_workers_give_the_result_of_one_device(tmp_path):
    """Two processes on the loopback; 10 to 15 seconds."""
    name = "gradient accumulation"
    verify_distributed._launch_workers([name], tmp_path)
    for number, dtype in enumerate(("float32", "float64")):
        result = verify_distributed._load(tmp_path / f"{number}.npz")
        reference = train(CASES[name], make_strategy("single"), False, dtype)
        assert difference(result, reference) <= LIMITS[dtype]
    assert keras.config.floatx() == "float32"
