"""feature_pyramid gives the maps of the stages."""

import keras
import numpy as np
import pytest
from tiny_networks import build_tiny

from keras_sa.applications import SAResNet50
from keras_sa.applications import feature_pyramid

SHAPES = {
    "P2": (None, 56, 56, 256),
    "P3": (None, 28, 28, 512),
    "P4": (None, 14, 14, 1024),
    "P5": (None, 7, 7, 2048),
}


def test_strides_and_channels():
    pyramid = feature_pyramid(SAResNet50(weights=None))
    assert {name: maps.shape for name, maps in pyramid.output.items()} == SHAPES


def test_weights_are_shared_and_the_last_level_is_the_networks_output():
    model = build_tiny(blocks=(1, 1, 1, 1), include_top=False)
    pyramid = feature_pyramid(model)
    assert {id(w) for w in pyramid.weights} == {id(w) for w in model.weights}
    images = np.random.default_rng(0).standard_normal((1, 32, 32, 3))
    np.testing.assert_allclose(
        pyramid.predict(images, verbose=0)["P5"],
        model.predict(images, verbose=0),
        rtol=1e-5,
        atol=1e-5,
    )


def test_other_models_are_refused():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs), name="other")
    with pytest.raises(ValueError, match="network of `AttentionResNet`.*model='other'"):
        feature_pyramid(model)
