"""Training on many devices gives the result of one; some ways of many."""

import keras
import numpy as np
import pytest

from keras_sa.scripts.checks import verify_distributed
from keras_sa.scripts.checks.distributed_cases import CASES
from keras_sa.scripts.checks.distributed_cases import LIMITS
from keras_sa.scripts.checks.distributed_cases import Case
from keras_sa.scripts.checks.distributed_cases import difference
from keras_sa.scripts.checks.distributed_cases import train
from keras_sa.training import make_strategy

TOGETHER = "clipping, EMA overwriting and samples of weight 0 together"
WAYS = {
    **CASES,
    # Everything that looks at the whole batch's gradient or its samples, in one.
    TOGETHER: Case(
        lambda: keras.optimizers.SGD(
            0.05,
            momentum=0.9,
            global_clipnorm=0.3,
            use_ema=True,
            ema_momentum=0.8,
            ema_overwrite_frequency=3,
        ),
        sample_weight=CASES["samples of weight 0"].sample_weight,
    ),
}
# A batch of 1 leaves a replica empty.
SLOW = ["last batch of 1 (25 / 8)", "gradient accumulation"]


@pytest.fixture(scope="module")
def single():
    return make_strategy("single")


def check(name, replicas, single, dtype, compiled="nothing"):
    case = WAYS[name]
    strategy = make_strategy("mirrored", replicas=replicas)
    options = verify_distributed.XLA[compiled]
    result = train(case, strategy, prepared=True, dtype=dtype, **options)
    reference = train(case, single, prepared=False, dtype=dtype, **options)
    limit = LIMITS["mixed" if case.policy else dtype]
    assert difference(result, reference) <= limit


@pytest.mark.filterwarnings("ignore:.*triggered tf.function retracing")
@pytest.mark.parametrize(
    "name", [TOGETHER, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_equals_plain_keras_on_one_device(name, single):
    # float64 leaves 1e-15 of rounding: what is not equal is wrong.
    check(name, 2, single, "float64")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*triggered tf.function retracing")
@pytest.mark.parametrize(
    "name",
    [TOGETHER, "gradient accumulation"],
    ids=["together", "accumulation"],
)
@pytest.mark.parametrize("compiled", ["between sums", "whole steps"])
def test_compiled_replicas_equal_plain_keras_on_one_device(name, compiled, single):
    check(name, 2, single, "float64", compiled)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last batch of 1 (25 / 8)", "clipnorm", "clipvalue"])
def test_equals_plain_keras_on_four_replicas(name, single):
    # All ways, also with worker processes: scripts/checks/verify_distributed.py.
    check(name, 4, single, "float32")


def test_overflow_in_one_replica_skips_the_step_everywhere(single):
    case = CASES["mixed_float16, overflow"]
    result = train(case, make_strategy("mirrored", replicas=2), prepared=True)
    *weights, scale, iterations = result["weights"]
    assert all(np.all(np.isfinite(each)) for each in weights)
    # One overflow in each of two epochs of four steps.
    assert scale == 2**15 / 4
    assert iterations == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["clipnorm", "uneven last batch (29 / 8)"],
    ids=["clipping", "uneven"],
)
def test_keras_alone_is_still_wrong(name, single):
    """When this fails, Keras has mended it: a hook can go."""
    strategy = make_strategy("mirrored", replicas=2)
    alone = train(CASES[name], strategy, prepared=False, dtype="float64")
    reference = train(CASES[name], single, prepared=False, dtype="float64")
    assert difference(alone, reference) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["nothing", "between sums"])
def test_two_workers_give_the_result_of_one_device(tmp_path, compiled):
    """Two processes on the loopback; 10 to 15 seconds."""
    name = "gradient accumulation"
    verify_distributed._launch_workers([name], False, tmp_path, [compiled])
    result = verify_distributed._load(tmp_path / "0.npz")
    reference = train(CASES[name], make_strategy("single"), prepared=False)
    assert difference(result, reference) <= LIMITS["float32"]
