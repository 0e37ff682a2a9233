"""Networks that begin again from a seed without being traced again."""

import keras
import numpy as np
import pytest

from keras_sa.study import RepeatedTraining

RNG = np.random.default_rng(0)
X = RNG.standard_normal((32, 6)).astype("float32")
Y = RNG.integers(0, 3, 32)


def build():
    images = keras.Input((6,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(8)(images))
    return keras.Model(images, keras.layers.Dense(3, activation="softmax")(x))


def optimizer():
    # The rate depends on the steps that were made.
    rate = keras.optimizers.schedules.CosineDecay(0.1, 8)
    return keras.optimizers.SGD(rate, momentum=0.9)


LOSS = "sparse_categorical_crossentropy"


def train(model):
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("before", [(), (1,), (3, 1)], ids=str)
def test_a_run_is_that_of_a_new_network(before):
    training = RepeatedTraining(build, optimizer, loss=LOSS)
    for seed in before:
        train(training.begin(seed))
    found = train(training.begin(2))
    keras.utils.set_random_seed(2)
    model = build()
    model.compile(optimizer(), LOSS)
    for mine, expected in zip(found, train(model), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_it_is_traced_once():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            calls.append(inputs)
            return inputs

    def counting():
        images = keras.Input((6,))
        x = keras.layers.Dense(3, activation="softmax")(Counting()(images))
        return keras.Model(images, x)

    training = RepeatedTraining(counting, optimizer, loss=LOSS)
    traced = []
    for seed in range(2):
        model = training.begin(seed)
        before = len(calls)
        train(model)
        traced.append(len(calls) - before)
    assert traced[0] > 0
    assert traced[1] == 0
