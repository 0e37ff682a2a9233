"""Batch norm and attention as one, over several replicas and with padding."""

import keras
import numpy as np
import pytest

from keras_sa import layers
from keras_sa.training import make_strategy
from keras_sa.training import prepare

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 5, 4, 3)).astype("float32") + RNG.standard_normal(
    (6, 1, 1, 3)
)
Y = RNG.standard_normal((6, 8)).astype("float32")
PRESENT = np.array([1, 1, 0, 1, 1, 0], "float32")


def network(kind):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((5, 4, 3)),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            kind(momentum=0.5, name="norm"),
            layers.ShuffleAttention(groups=2),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "mse")
    return model


def trained(kind, x, y, weights=None, replicas=1):
    if replicas == 1:
        model = network(kind)
    else:
        with make_strategy("mirrored", replicas=replicas).scope():
            model = network(kind)
    prepare(model)
    model.fit(x, y, sample_weight=weights, batch_size=6, epochs=2, verbose=0)
    return model.get_weights()


@pytest.fixture(scope="module")
def expected():
    kept = PRESENT > 0
    return trained(keras.layers.BatchNormalization, X[kept], Y[kept])


@pytest.mark.parametrize("replicas", [1, 2])
def test_padding_and_replicas_change_nothing(expected, replicas):
    found = trained(layers.BatchNormalization, X, Y, PRESENT, replicas)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_batch_without_samples_leaves_the_moving_statistics():
    model = prepare(network(layers.BatchNormalization))
    norm = model.get_layer("norm")
    norm.moving_mean.assign(np.arange(8) + 1.0)
    norm.moving_variance.assign(np.arange(8) + 2.0)
    model.fit(X, Y, sample_weight=np.zeros(6), batch_size=6, verbose=0)
    np.testing.assert_allclose(norm.moving_mean, np.arange(8) + 1, rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, np.arange(8) + 2, rtol=1e-6)
