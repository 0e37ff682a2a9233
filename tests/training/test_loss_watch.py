"""A loss that goes wrong is told of, once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.training import fit
from keras_sa.training.loss_watch import LossWatch

X = np.random.default_rng(0).standard_normal((12, 3)).astype("float32")
Y = X.sum(-1)


@pytest.fixture(scope="module")
def model():
    layers = [keras.Input((3,)), keras.layers.Dense(1)]
    return keras.Sequential(layers, name="tiny")


def said_of(losses, model, capsys):
    watch = LossWatch()
    watch.set_model(model)
    watch.on_train_begin()
    for epoch, loss in enumerate(losses):
        watch.on_epoch_end(epoch, {"loss": loss})
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "losses, words",
    [
        ([1.5, 0.9, float("nan"), float("nan")], ["is nan in epoch 3"]),
        ([1.5, float("-inf")], ["is -inf in epoch 2"]),
        ([2.0, 2.9, 5.5, 7.0], ["grown from 2 to 5.5 in epoch 3: the training diver"]),
        ([1.2, *[1.1] * 9], ["stood still at 1.1 since epoch 2"]),
        ([2.0, *[10.7454] * 9], ["grown from 2 to 10.75", "stood still at 10.7454"]),
        ([1.0, 0.5, 0.4999, 0.4998, 0.4997, 0.4996], []),
        ([0.5, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0], []),
        ([1.0, 1.4, 0.7, 1.2, 0.9], []),
        ([1.0, 1.0, 1.0], []),
    ],
)
def test_what_is_said_of_losses(losses, words, model, capsys):
    lines = said_of(losses, model, capsys)
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert line.startswith("The loss of 'tiny'") and word in line


def compiled(rate):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def test_fit_tells_while_it_runs(capsys):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    fit(compiled(2.0), data, 2, verbose=0)
    assert "grown" in capsys.readouterr().out
    # Long before the end of the first epoch.
    fit(compiled(1e9), data.repeat(60), 1, verbose=0)
    assert "is nan after 100 steps" in capsys.readouterr().out
    fit(compiled(0.0), data, 5, verbose=0)
    assert "stood still" in capsys.readouterr().out
    fit(compiled(0.1), data, 5, verbose=0)
    assert "The loss" not in capsys.readouterr().out
