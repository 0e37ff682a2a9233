"""Networks that normalise their images themselves are told from those that don't."""

import keras
import numpy as np
import pytest

from keras_sa.applications import sa_resnet
from keras_sa.utils.input_scaling import as_input
from keras_sa.utils.input_scaling import neutral_pixel
from keras_sa.utils.input_scaling import takes_pixels

SHAPE = (8, 8, 3)


def around(scaling):
    images = keras.Input(SHAPE)
    return keras.Model(images, keras.layers.Conv2D(4, 3)(scaling(images)))


AUGMENTATION = keras.Sequential(
    [keras.layers.RandomFlip(), keras.layers.RandomBrightness(0.2)]
)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = keras.layers.Conv2D(3, 1)

    def call(self, images):
        return self.convolution(images / 255.0)


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
        keras.applications.vgg16.preprocess_input,
        lambda x: keras.layers.Rescaling(1 / 255)(keras.layers.RandomZoom(0.2)(x)),
        lambda x: around(adapted)(AUGMENTATION(x)),
        lambda x: Subclassed()(x),
    ],
    ids=[
        "preprocess_input",
        "Rescaling",
        "Normalization",
        "arithmetic",
        "nested",
        "subtracted means",
        "behind augmentation",
        "nested behind nested augmentation",
        "subclassed",
    ],
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
        around(AUGMENTATION),
        around(lambda x: keras.layers.Multiply()([x, x / 255.0])),
        keras.Sequential([keras.layers.Dense(2)]),
    ],
    ids=["none", "a small factor", "batch norm", "augmented", "two", "not built"],
)
def test_other_networks_take_what_they_are_given(model):
    assert not takes_pixels(model)


def test_several_inputs_are_not_judged():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, keras.layers.Add()([each / 255.0 for each in inputs]))
    assert not takes_pixels(model)
    assert model([np.ones((1, 4))] * 2).shape == (1, 4)


def test_integers_are_pixels():
    images = keras.Input(SHAPE, dtype="uint8")
    assert takes_pixels(keras.Model(images, keras.layers.Flatten()(images)))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_neutral_pixel_becomes_0(data_format):
    keras.config.set_image_data_format(data_format)
    # With the channels in the reverse order behind it.
    scaling = keras.applications.vgg16.preprocess_input
    shape = SHAPE if data_format == "channels_last" else SHAPE[::-1]
    images = keras.Input(shape)
    model = keras.Model(images, keras.layers.Flatten()(scaling(images)))
    pixel = neutral_pixel(model)
    assert pixel.max() > 100
    whole = np.broadcast_to(pixel, (1, *shape))
    np.testing.assert_allclose(model(whole), 0, atol=1e-4)


def test_networks_without_scaling_have_0_as_neutral_pixel():
    assert not neutral_pixel(around(lambda x: x)).any()


def test_floats_for_integers_are_rounded():
    floats = np.array([-3.0, 0.4, 0.6, 254.5001, 300.0], "float32")
    found = np.asarray(as_input(floats, "uint8"))
    assert found.dtype == np.uint8
    assert found.tolist() == [0, 0, 1, 255, 255]
    assert as_input(floats, None) is floats
