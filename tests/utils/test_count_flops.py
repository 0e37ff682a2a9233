"""count_flops agrees with the published tables and refuses what it can't count."""

import keras
import pytest

from keras_sa.applications import AttentionResNet
from keras_sa.utils import count_flops

# GFLOPs at 224x224 with 1000 classes, as published.
PUBLISHED = {
    (50, None): 4.122,
    (50, "sa"): 4.125,
    (101, None): 7.849,
    (101, "sa"): 7.854,
}


@pytest.mark.parametrize("depth, attention", PUBLISHED)
def test_agrees_with_the_published_table(depth, attention):
    model = AttentionResNet(depth, attention)
    assert round(count_flops(model) / 1e9, 3) == PUBLISHED[depth, attention]


def test_counts_by_hand():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    assert count_flops(model) == 4 * 4 * 4 * (3 * 3 * 3 + 1) + 4 * 4 * 4 + 5 * (64 + 1)


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
