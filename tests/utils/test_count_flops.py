"""count_flops counts by its rules and refuses what it can't count."""

import keras
import pytest

from keras_sa.applications import AttentionResNet
from keras_sa.utils import count_flops


def test_counts_by_hand():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    assert count_flops(model) == 4 * 4 * 4 * (3 * 3 * 3 + 1) + 4 * 4 * 4 + 5 * 64


def test_nested_models_are_counted():
    inner = AttentionResNet(blocks=(1, 1), include_top=False, input_shape=(64, 64, 3))
    inputs = keras.Input((64, 64, 3))
    outer = keras.Model(inputs, inner(inputs))
    assert count_flops(outer) == count_flops(inner) > 0


def test_unknown_size_and_unknown_layers_are_refused():
    with pytest.raises(ValueError, match="depend on the image size"):
        count_flops(AttentionResNet(blocks=(1,), include_top=False))
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.SeparableConv2D(4, 3)(inputs))
    with pytest.raises(ValueError, match="no rule.*SeparableConv2D"):
        count_flops(model)
