"""Layers that add to the loss or assign their weights: as on one device of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.training import make_strategy
from keras_sa.training import prepare


class MeanSquare(keras.layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.mean(keras.ops.square(x)))
        return x


LAYERS = {
    "add_loss": MeanSquare,
    "activity_regularizer": lambda: keras.layers.Dense(5, activity_regularizer="l2"),
    "spectral_normalization": lambda: keras.layers.SpectralNormalization(
        keras.layers.Dense(5)
    ),
}


def result(strategy, layer, prepared, jit_compile=False):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 4)).astype("float32"), rng.normal(size=(13, 1))
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(3, "tanh", kernel_regularizer="l2"),
                LAYERS[layer](),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.SGD(0.1), "mse")
    if prepared:
        prepare(model, jit_compile=jit_compile)
    # Of 8 and 5 samples.
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    history = model.fit(data, shuffle=False, epochs=3, verbose=0).history
    return [*history["loss"], *model.get_weights()]


def check(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_two_replicas_are_one_device(layer):
    expected = result(tf.distribute.get_strategy(), layer, prepared=False)
    two = make_strategy("mirrored", replicas=2)
    found = result(two, layer, prepared=True)
    check(found, expected)


@pytest.mark.slow
def test_weights_that_a_layer_assigns_are_compiled():
    layer = "spectral_normalization"
    expected = result(tf.distribute.get_strategy(), layer, prepared=False)
    two = make_strategy("mirrored", replicas=2)
    found = result(two, layer, prepared=True, jit_compile=True)
    check(found, expected)


def test_what_counts_padding_is_said_or_not_compiled(capsys):
    two = make_strategy("mirrored", replicas=2)
    compiled, plain = (
        result(two, "activity_regularizer", prepared=True, jit_compile=xla)
        for xla in (True, False)
    )
    assert "can't leave out the rows" in capsys.readouterr().out
    check(compiled, plain)
    result(two, "add_loss", prepared=True, jit_compile=True)
    assert "counts the rows that pad a short batch" in capsys.readouterr().out
