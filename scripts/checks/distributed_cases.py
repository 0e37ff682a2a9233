"""Ways of training that must not depend on the number of devices, and a comparison."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

SAMPLES = 29
BATCH = 8
EPOCHS = 2


@dataclass(frozen=True)
class Case:
    """A way of training that must not depend on the number of devices.

    Args:
        optimizer: Makes the optimizer.
        samples: How many samples an epoch has.
        compile: Arguments of `model.compile`.
        fit: Arguments of `model.fit`.
        policy: A dtype policy; the mixed ones are compared more loosely.
        sample_weight: Makes the weights of so many samples.
        workers: Whether it is possible with several workers.
        rounding: How much more rounding than elsewhere may come through.
    """

    optimizer: Callable
    samples: int = SAMPLES
    compile: dict = field(default_factory=dict)
    fit: dict = field(default_factory=dict)
    policy: str | None = None
    sample_weight: Callable | None = None
    workers: bool = True
    rounding: float = 1.0


def _sgd(**options):
    import keras

    return keras.optimizers.SGD(0.05, momentum=0.9, **options)


def _adamw():
    import keras

    return keras.optimizers.AdamW(1e-3, weight_decay=0.01)


def _l2_sgd():
    from keras_sa.training import L2SGD

    return L2SGD(0.05, momentum=0.9, l2=0.01)


def _padding(samples):
    """Weight 0 for the last three samples: they are as if they were not there."""
    import numpy as np

    return np.where(np.arange(samples) < samples - 3, 1.0, 0.0)


def _overflow(samples):
    """One sample whose gradient overflows float16, in one replica only."""
    import numpy as np

    return np.where(np.arange(samples) == 9, 1e6, 1.0)


CASES = {
    "uneven last batch (29 / 8)": Case(_sgd),
    "last batch of 1 (25 / 8)": Case(_sgd, samples=25),
    # A small gradient by the root of its small square: rounding isn't small there.
    "AdamW": Case(_adamw, rounding=5.0),
    "clipnorm": Case(lambda: _sgd(clipnorm=0.1)),
    "global_clipnorm": Case(lambda: _sgd(global_clipnorm=0.3)),
    "clipvalue": Case(lambda: _sgd(clipvalue=0.01)),
    "gradient accumulation": Case(lambda: _sgd(gradient_accumulation_steps=2)),
    "EMA": Case(lambda: _sgd(use_ema=True, ema_momentum=0.8)),
    "EMA overwriting": Case(
        lambda: _sgd(use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3)
    ),
    "class weights": Case(_sgd, fit={"class_weight": {0: 3.0, 1: 0.5, 2: 1.0, 3: 2.0}}),
    "samples of weight 0": Case(_sgd, sample_weight=_padding),
    "published L2": Case(_l2_sgd),
    "steps_per_execution": Case(
        _sgd, compile={"steps_per_execution": 3}, workers=False
    ),
    "mixed_bfloat16": Case(_sgd, policy="mixed_bfloat16"),
    "mixed_float16, overflow": Case(
        _sgd, policy="mixed_float16", sample_weight=_overflow
    ),
}
# float32 and float64: rounding. 16 bits: one different rounding moves a value by
# up to 2**-8 of itself.
LIMITS = {"float32": 1e-6, "float64": 1e-12, "mixed": 2e-3}


def train(
    case: Case,
    strategy,
    prepared: bool,
    dtype: str = "float32",
    xla: bool = False,
    group_norms: bool = False,
) -> dict:
    """Trains, evaluates and predicts in one of the ways.

    Args:
        case: The way.
        strategy: A `tf.distribute.Strategy`.
        prepared: Whether with `keras_sa.training.prepare`. Without it samples of
            weight 0 are left out, because Keras counts them.
        dtype: `keras.config.floatx()`.
        xla: Whether XLA compiles what a replica computes, if `prepared`.
        group_norms: Whether the network has these instead of batch norms, which sum
            over all replicas in the middle of a step.

    Returns:
        `weights`, a list of arrays with those of the optimizer's loss scale;
        `evaluation`, an array; `predictions`, an array.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_sa.training import prepare

    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, 16, 16, 3))[: case.samples]
    y = rng.integers(0, 4, SAMPLES)[: case.samples]
    data = (x, y)
    if case.sample_weight is not None:
        weights = case.sample_weight(case.samples)
        data = (x, y, weights)
        if not prepared:
            data = tuple(each[weights > 0] for each in data)
    previous = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(case.policy or dtype)
    try:
        with strategy.scope():
            # After the scope: the seeds of the layers are variables.
            keras.utils.set_random_seed(1)
            model = _network(group_norms)
            model.compile(
                case.optimizer(),
                "sparse_categorical_crossentropy",
                weighted_metrics=["accuracy"],
                **case.compile,
            )
        if prepared:
            prepare(model, jit_compile=xla)
        batches = tf.data.Dataset.from_tensor_slices(data).batch(BATCH)
        model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0, **case.fit)
        evaluation = model.evaluate(batches, verbose=0)
        predictions = model.predict(
            tf.data.Dataset.from_tensor_slices(x).batch(BATCH), verbose=0
        )
        state = model.variables
        if hasattr(model.optimizer, "dynamic_scale"):
            state = [*state, model.optimizer.dynamic_scale, model.optimizer.iterations]
        return {
            "weights": [variable.numpy() for variable in state],
            "evaluation": np.array(evaluation),
            "predictions": predictions,
        }
    finally:
        keras.config.set_floatx(previous[0])
        keras.config.set_dtype_policy(previous[1])


def _network(group_norms):
    import keras

    from keras_sa.layers import ShuffleAttention

    images = keras.Input((16, 16, 3), name="images")
    x = images
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, 3, use_bias=False)(x)
        if group_norms:
            x = keras.layers.GroupNormalization(4)(x)
        else:
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    x = ShuffleAttention(groups=4)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(4, activation="softmax", dtype=keras.config.floatx())(x)
    return keras.Model(images, x)


def difference(result: dict, reference: dict) -> float:
    """The largest relative difference of two results of `train`.

    Of all weights together by their Euclidean norm, of the evaluation and of the
    predictions by the largest value.
    """
    import numpy as np

    def flat(arrays):
        return np.concatenate([np.ravel(a).astype("float64") for a in arrays])

    ours, theirs = flat(result["weights"]), flat(reference["weights"])
    found = [np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)]
    for key in ("evaluation", "predictions"):
        found.append(
            np.max(np.abs(result[key] - reference[key]))
            / np.max(np.abs(reference[key]))
        )
    # NaN, where max would hide it, is no agreement.
    return float(np.max(found)) if np.all(np.isfinite(found)) else float("inf")
