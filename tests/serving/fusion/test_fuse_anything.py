"""Fused networks of random layers: whatever follows what, the numbers stay."""

import random

import keras
import numpy as np
import pytest
from serving_samples import randomize

from keras_sa.layers import ShuffleAttention
from keras_sa.serving import fuse

layers = keras.layers
SIZE, CHANNELS = 16, 16


def _convolution(x, choose):
    options = {"use_bias": choose([True, False]), "padding": choose(["same", "valid"])}
    padded = layers.ZeroPadding2D(choose([1, 2]))(x)
    return layers.Conv2D(choose([16, 32]), choose([1, 3]), **options)(padded)


def _attention(x, choose):
    channels = x.shape[-1]
    x = choose([x, layers.Conv2D(channels, choose([1, 3]), padding="same")(x)])
    x = choose([x, layers.BatchNormalization()(x)])
    groups = choose([g for g in (1, 2, 4, 8) if channels % (2 * g) == 0])
    return ShuffleAttention(groups, shuffle=choose([True, False]))(x)


def _residual(x, choose):
    """What the networks consist of, with every part optional."""
    shortcut = choose([x, layers.Conv2D(x.shape[-1], 1, use_bias=False)(x)])
    y = _attention(x, choose)
    x = layers.Add()(choose([[y, shortcut], [shortcut, y]]))
    return choose([x, layers.ReLU()(x), layers.Activation("relu")(x)])


STEPS = (
    _convolution,
    _attention,
    _residual,
    _residual,
    lambda x, choose: layers.Conv2D(16, 1, activation=choose(["relu", "softmax"]))(x),
    lambda x, choose: layers.Conv2D(16, 3, padding="same", groups=4)(x),
    lambda x, choose: layers.Conv2D(16, 3, strides=2, padding="same")(x),
    lambda x, choose: layers.Conv2D(16, (3, 1), padding="same", dilation_rate=2)(x),
    lambda x, choose: layers.DepthwiseConv2D(3, padding="same")(x),
    lambda x, choose: layers.BatchNormalization(center=choose([True, False]))(x),
    lambda x, choose: layers.ReLU(max_value=choose([None, 6.0]))(x),
    lambda x, choose: layers.Activation(choose(["relu", "softmax", "gelu"]))(x),
    lambda x, choose: layers.Add()([x, x]),
    lambda x, choose: layers.Concatenate()([x, x]) if x.shape[-1] < 64 else x,
    lambda x, choose: layers.Multiply()([x, layers.Activation("sigmoid")(x)]),
    lambda x, choose: layers.MaxPooling2D(3, 1, padding="same")(x),
    lambda x, choose: layers.ZeroPadding2D(((0, 1), (1, 0)))(x),
    lambda x, choose: layers.Dropout(0.5)(layers.Rescaling(0.5, 0.1)(x)),
    lambda x, choose: layers.GroupNormalization(4)(x),
    lambda x, choose: keras.ops.flip(x, axis=choose([2, -1])),
)
HEADS = (
    lambda x: x,
    layers.GlobalAveragePooling2D(),
    layers.GlobalAveragePooling2D(keepdims=True),
    layers.GlobalMaxPooling2D(),
    layers.Flatten(),
)


def random_network(seed):
    choose = random.Random(seed).choice
    x = images = keras.Input((SIZE, SIZE, CHANNELS))
    maps = []
    for _ in range(7):
        x = choose(STEPS)(x, choose)
        maps.append(x)
    head = choose([type(h).from_config(h.get_config()) for h in HEADS[1:]] + [HEADS[0]])
    outputs = [head(x)]
    if len(outputs[0].shape) == 2:
        outputs[0] = layers.Dense(5)(outputs[0])
    # A map in the middle may have a reader of its own.
    outputs += choose([[], [choose(maps)]])
    model = randomize(keras.Model(images, outputs), seed)
    outer = keras.Input((SIZE, SIZE, CHANNELS))
    return choose([model, keras.Model(outer, model(outer))])


def assert_equal(model, images, portable):
    fused = fuse(model, portable=portable)
    expected = keras.tree.flatten(model(images, training=False))
    actual = keras.tree.flatten(fused(images, training=False))
    for before, after in zip(expected, actual, strict=True):
        before, after = np.asarray(before), np.asarray(after)
        # float32 rounds the folded weights differently.
        tolerance = 1e-4 * max(before.std(), 1e-6)
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize(
    "seed",
    [pytest.param(n, marks=[] if n < 8 else pytest.mark.slow) for n in range(64)],
)
def test_random_networks(seed, portable):
    images = np.random.default_rng(seed).standard_normal((2, SIZE, SIZE, CHANNELS))
    assert_equal(random_network(seed), images.astype("float32"), portable)
