"""Gates and class activations are what the layers compute."""

import contracts
import keras
import numpy as np
import pytest
import tiny_networks

from keras_sa.layers import ShuffleAttention
from keras_sa.layers import attention_names
from keras_sa.layers import get_attention
from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.visualization import attention_maps
from keras_sa.visualization import class_activations
from keras_sa.visualization import explain
from keras_sa.visualization import explanation_figure


@pytest.mark.parametrize(
    "options", [{}, {"shuffle": False}, {"pre_shuffled": True}], ids=str
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_gate_is_what_the_input_is_multiplied_with(options, data_format):
    rng = np.random.default_rng(0)
    layer = ShuffleAttention(groups=4, data_format=data_format, **options)
    x = rng.standard_normal((2, 5, 6, 16)).astype("float32")
    x = x if data_format == "channels_last" else np.moveaxis(x, -1, 1)
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    axis = layer.channel_axis
    arrived = x if options else np.take(x, shuffled_order(16), axis)
    np.testing.assert_allclose(layer(x), arrived * layer.gate(x), atol=1e-6)


@pytest.mark.parametrize("name", [n for n in attention_names() if n != "sa"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_rivals_have_gates_too(name, data_format):
    layer = get_attention(name).layer(
        data_format=data_format, **({"groups": 4} if name == "sge" else {})
    )
    x = contracts.maps(2, 5, 6, 16)
    x = x if data_format == "channels_last" else np.moveaxis(x, -1, 1)
    layer.build(x.shape)
    contracts.randomize(layer)
    np.testing.assert_allclose(layer(x), x * layer.gate(x), atol=1e-5)


def test_gates_without_positions_are_drawn_for_every_stage(images):
    network = tiny_networks.randomise(tiny_networks.build_tiny("se"))
    explanation = explain(network, images[0])
    assert {name: gate.shape for name, gate in explanation.gates.items()} == {
        "conv2_block1_attention": (1, 1, 64),
        "conv3_block1_attention": (1, 1, 128),
    }
    drawn = explanation_figure(explanation).axes[4]
    gates = explanation.gates["conv2_block1_attention"]
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), np.sort(gates[0, 0]))


def test_every_attention_has_its_gates(network, images):
    found = attention_maps(network, images)
    assert {name: gate.shape for name, gate in found.items()} == {
        "conv2_block1_attention": (3, 32, 32, 64),
        "conv3_block1_attention": (3, 16, 16, 128),
    }
    layer = network.get_layer("conv3_block1_attention")
    maps = keras.Model(network.input, [layer.input, layer.output])
    before, after = (part.numpy() for part in maps(images))
    np.testing.assert_allclose(
        before * found["conv3_block1_attention"], after, atol=1e-5
    )
    nested = keras.Sequential([keras.Input((32, 32, 3)), network])
    inner = attention_maps(nested, images, batch_size=2)
    for name, gate in found.items():
        np.testing.assert_allclose(inner[name], gate, atol=1e-6)


@pytest.fixture(scope="module")
def two_networks():
    """The mean of two networks whose layers have the same names."""
    parts = [
        tiny_networks.randomise(tiny_networks.build_tiny(name=name), seed)
        for seed, name in enumerate(("one", "two"))
    ]
    inputs = keras.Input((32, 32, 3))
    mean = keras.layers.Average()([part(inputs) for part in parts])
    return keras.Model(inputs, mean), parts


def test_attentions_of_the_same_name_are_kept_apart(two_networks, images):
    model, parts = two_networks
    found = attention_maps(model, images, batch_size=2)
    assert len(found) == 4
    for part, suffix in zip(parts, ("", ":2"), strict=True):
        for name, gate in attention_maps(part, images).items():
            np.testing.assert_allclose(found[name + suffix], gate, atol=1e-6)
    explanation_figure(explain(model, images[0]))


def test_calls_of_a_shared_attention_are_kept_apart(images):
    layer = ShuffleAttention(groups=2, name="shared")
    inputs = keras.Input((32, 32, 3))
    x = layer(keras.layers.Conv2D(8, 3, padding="same")(inputs))
    x = layer(keras.layers.MaxPooling2D(2)(x))
    gates = attention_maps(keras.Model(inputs, x), images, batch_size=2)
    assert {name: gate.shape for name, gate in gates.items()} == {
        "shared": (3, 32, 32, 8),
        "shared:2": (3, 16, 16, 8),
    }


def test_class_activations_of_layers_of_the_same_name(two_networks, images):
    model, parts = two_networks
    name, labels = "conv3_block1_out", [0, 1, 1]
    layers = [part.get_layer(name) for part in parts]
    found = class_activations(model, images, labels, layers, groups=16)
    for part, key in zip(parts, (name, f"{name}:2"), strict=True):
        alone = class_activations(part, images, labels, [name], groups=16)[name]
        np.testing.assert_allclose(found[key], alone, rtol=1e-5)


def test_a_model_without_attention_is_refused(images):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    with pytest.raises(ValueError, match="no attention with a method"):
        attention_maps(model, images)


def test_class_activations_are_means_over_maps_groups_and_images(network, images):
    found = class_activations(network, images, [0, 2, 2], groups=16, batch_size=2)
    assert list(found) == ["conv2_block1_out", "conv3_block1_out"]
    for name, values in found.items():
        maps = keras.Model(network.input, network.get_layer(name).output)(images)
        means = maps.numpy().mean((1, 2)).reshape(3, 16, -1).mean(-1)
        expected = np.stack([means[0], np.full(16, np.nan), means[1:].mean(0)])
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_class_activations_refuse(network, images):
    with pytest.raises(ValueError, match="each of the 3 images"):
        class_activations(network, images, [0, 1])
    with pytest.raises(ValueError, match="counted from 0.*from -1"):
        class_activations(network, images, [-1, 0, 1])
    with pytest.raises(ValueError, match="layer='conv9'"):
        class_activations(network, images, [0, 1, 1], ["conv9"])
    inputs = keras.Input((32, 32, 3))
    other = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    with pytest.raises(ValueError, match="Say with `layers`"):
        class_activations(other, images, [0, 1, 1])
