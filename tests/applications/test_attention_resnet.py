"""Networks with every registered attention have the published sizes and train."""

import math

import contracts
import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import build_tiny
from tiny_networks import randomise

from keras_sa.applications import AttentionResNet
from keras_sa.layers import EfficientChannelAttention
from keras_sa.layers import attention_names
from keras_sa.layers import get_attention
from keras_sa.serving import fuse
from keras_sa.utils import count_flops

# Parameters and GFLOPs at 224x224 with 1000 classes, as published.
PUBLISHED = {
    50: {
        None: (25_557_032, 4.122),
        "se": (28_088_024, 4.130),
        "bam": (25_915_099, 4.205),
        "cbam": (28_089_624, 4.139),
        "sge": (25_559_080, 4.127),
        "eca": (25_557_112, 4.127),
        "sa": (25_557_740, 4.125),
    },
    101: {
        None: (44_549_160, 7.849),
        "se": (49_326_872, 7.863),
        "bam": (44_907_227, 7.933),
        "cbam": (49_330_172, 7.879),
        "sge": (44_553_384, 7.858),
        "eca": (44_549_317, 7.858),
        "sa": (44_550_684, 7.854),
    },
}
CELLS = [
    pytest.param(depth, attention, marks=[pytest.mark.slow] if depth > 50 else [])
    for depth, column in PUBLISHED.items()
    for attention in column
]


@pytest.fixture
def zero_kernels(monkeypatch):
    """Sizes don't depend on the weights, and drawing them takes longest."""
    monkeypatch.setattr(
        keras.initializers.VarianceScaling, "__call__", keras.initializers.Zeros()
    )


def tiny(attention, **arguments):
    options = {"groups": 4} if attention in ("sa", "sge") else None
    return build_tiny(attention, attention_options=options, **arguments)


@pytest.mark.parametrize("depth, attention", CELLS)
def test_parameters_and_flops_are_the_published_ones(depth, attention, zero_kernels):
    model = AttentionResNet(depth, attention)
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    gflops = round(count_flops(model) / 1e9, 3)
    assert (parameters, gflops) == PUBLISHED[depth][attention]


@pytest.mark.slow
def test_attention_layers_stand_where_they_were_published(zero_kernels):
    for name in attention_names():
        model = AttentionResNet(50, name)
        kind = get_attention(name).layer
        layers = [layer.name for layer in model.layers if isinstance(layer, kind)]
        if name == "bam":
            assert layers == [f"conv{stage}_attention" for stage in (2, 3, 4)]
        else:
            assert len(layers) == 16
            assert layers[0] == "conv2_block1_attention"


def test_kernel_sizes_of_eca_are_those_of_the_released_networks(zero_kernels):
    for blocks, options, sizes in [
        (None, None, [3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7, 7, 7]),
        # Other networks follow the paper's rule, or the caller.
        ((1, 1), None, [5, 5]),
        ((1, 2), {"kernel_size": [5, 3]}, [5, 3, 3]),
        ((1, 2), {"kernel_size": 9}, [9, 9, 9]),
    ]:
        model = AttentionResNet(
            50, "eca", attention_options=options, blocks=blocks, include_top=False
        )
        layers = [
            layer
            for layer in model.layers
            if isinstance(layer, EfficientChannelAttention)
        ]
        assert [layer.kernel.shape[0] for layer in layers] == sizes


def test_options_for_each_stage_must_fit_the_stages():
    with pytest.raises(ValueError, match="each of the 2 stages.*kernel_size=.3, 5, 5"):
        build_tiny("eca", attention_options={"kernel_size": (3, 5, 5)})


@pytest.mark.parametrize("attention", attention_names())
def test_a_step_of_training_lowers_the_loss(attention):
    model = tiny(attention)
    images = tf.constant(contracts.maps(8, 32, 32, 3))
    labels = tf.range(8) % 10
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        losses.append(float(value))
        gradients = tape.gradient(value, model.trainable_variables)
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
            weight.assign_sub(0.01 * gradient)
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    "attention", [name for name in attention_names() if name != "sa"]
)
def test_fused_networks_compute_the_same(attention):
    model = randomise(tiny(attention))
    images = contracts.maps(2, 32, 32, 3)
    np.testing.assert_allclose(fuse(model)(images), model(images), rtol=1e-3, atol=1e-3)
