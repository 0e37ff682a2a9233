"""Networks that normalise their images themselves are told from those that don't."""

import keras
import numpy as np
import pytest

from keras_sa.applications import sa_resnet
from keras_sa.utils.input_scaling import takes_pixels

SHAPE = (8, 8, 3)


def around(scaling):
    images = keras.Input(SHAPE)
    return keras.Model(images, keras.layers.Conv2D(4, 3)(scaling(images)))


def adapted(images):
    layer = keras.layers.Normalization(mean=[120.0] * 3, variance=[60.0**2] * 3)
    return layer(images)


@pytest.mark.parametrize(
    "scaling",
    [
        sa_resnet.preprocess_input,
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        adapted,
        lambda x: (x - 127.5) / 127.5,
        keras.Sequential([keras.Input(SHAPE), keras.layers.Rescaling(1 / 255)]),
    ],
    ids=["preprocess_input", "Rescaling", "Normalization", "arithmetic", "nested"],
)
def test_own_normalisation_is_found(scaling):
    model = around(scaling)
    assert takes_pixels(model)
    # One more model around it, and a saved one.
    assert takes_pixels(keras.Sequential([keras.Input(SHAPE), model]))
    assert takes_pixels(around(lambda x: x)) is False


@pytest.mark.parametrize(
    "model",
    [
        around(lambda x: x),
        around(lambda x: x * 2.0 - 1.0),
        around(keras.layers.BatchNormalization()),
        keras.Sequential([keras.layers.Dense(2)]),
    ],
    ids=["none", "a small factor", "batch norm", "not built"],
)
def test_other_networks_take_what_they_are_given(model):
    assert not takes_pixels(model)


def test_several_inputs_are_not_judged():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, keras.layers.Add()([each / 255.0 for each in inputs]))
    assert not takes_pixels(model)
    assert model([np.ones((1, 4))] * 2).shape == (1, 4)
