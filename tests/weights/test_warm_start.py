"""A warm start is the source network: outputs, loss, gradients, training steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import FORMATS
from tiny_networks import assert_same_state
from tiny_networks import build_tiny
from tiny_networks import randomise
from tiny_networks import state_of

from keras_sa.applications import AttentionResNet
from keras_sa.layers import AttentionLayer
from keras_sa.layers import ShuffleAttention
from keras_sa.layers import register_attention
from keras_sa.layers.registry import ATTENTIONS
from keras_sa.weights import export_weights
from keras_sa.weights import load_checkpoint

# What shuffle attention multiplies by at its initial values.
GAIN = 1 / (1 + np.exp(-1))
RATE = 0.01
OPTIONS = [
    {"groups": 4},
    {"groups": 8},
    {"groups": 4, "shuffle": False},
    {"groups": 4, "pre_shuffled": False},
]


def relative(a, b):
    """The largest difference, relative to the largest value."""
    a, b = np.asarray(a), np.asarray(b)
    return np.abs(a - b).max() / np.abs(b).max()


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def freeze_attention(model, frozen=True):
    for layer in model.layers:
        if isinstance(layer, AttentionLayer):
            layer.trainable = not frozen


def gradients(model, images, labels):
    """Loss and gradients by the path of the variable, in training mode."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        loss = loss_of(labels, model(images, training=True))
    found = tape.gradient(loss, model.trainable_variables)
    paths = [variable.path for variable in model.trainable_variables]
    return float(loss), {p: np.asarray(g) for p, g in zip(paths, found, strict=True)}


def is_scaled(path):
    """Whether a variable holds the source's value divided by the gain."""
    return "_3_bn/gamma" in path or "_3_bn/beta" in path


def descend(model, gradients_, factor=1.0):
    """One step of gradient descent; bn3's gamma and beta go `factor` times as far."""
    for variable in model.trainable_variables:
        step = RATE * gradients_[variable.path]
        variable.assign_sub(step * factor if is_scaled(variable.path) else step)


@pytest.mark.parametrize(
    ("end", "options"),
    [(end, OPTIONS[0]) for end in FORMATS] + [(".npz", o) for o in OPTIONS[1:]],
)
def test_a_plain_file_of_any_format_is_recognised(plain, tmp_path, end, options):
    path = tmp_path / f"plain{end}"
    export_weights(plain, path)
    model = randomise(build_tiny(attention_options=options), seed=9)
    report = load_checkpoint(model, path)
    assert report.warm_start
    assert report.complete
    assert "a warm start from a plain ResNet" in str(report)
    images = draw((2, 32, 32, 3))
    # float32, the sums of the next convolution in another order.
    assert relative(model(images), plain(images)) < 1e-5


def test_the_attention_begins_at_its_initial_values(plain, tmp_path):
    export_weights(plain, tmp_path / "plain.npz")
    fresh = build_tiny()
    model = randomise(build_tiny(), seed=9)
    load_checkpoint(model, tmp_path / "plain.npz")
    for layer in model.layers:
        if isinstance(layer, ShuffleAttention):
            for variable, initial in zip(
                layer.weights, fresh.get_layer(layer.name).weights, strict=True
            ):
                np.testing.assert_array_equal(variable, initial, variable.path)


def check_training_step(source, model, size):
    """With the attention frozen, one training step keeps the networks equal.

    Exactly, that is: loss and all gradients agree, those of bn3's gamma and beta up
    to the gain, which their values are divided by. So plain gradient descent moves
    these two by gain^2 times the source's step, and a step with their rate divided
    by gain^2, or without them, leaves the same function.
    """
    images, labels = draw((4, size, size, 3), 1), np.arange(4)
    freeze_attention(model)
    loss, found = gradients(model, images, labels)
    expected_loss, expected = gradients(source, images, labels)
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    assert found.keys() == expected.keys()
    for path, gradient in found.items():
        gain = GAIN if is_scaled(path) else 1.0
        assert relative(gradient, gain * expected[path]) < 1e-8, path

    start = state_of(model), state_of(source)
    before = source(images)
    # float64: some hundred layers, each with its roundings, leave far less.
    for factor, source_factor, bound in (
        (0.0, 0.0, 1e-8),
        (1 / GAIN**2, 1.0, 1e-8),
    ):
        for network, values in zip((model, source), start, strict=True):
            for variable, value in zip(network.weights, values, strict=True):
                variable.assign(value)
        descend(model, found, factor)
        descend(source, expected, source_factor)
        assert relative(source(images), before) > 1e-2, "the step did nothing"
        assert relative(model(images), source(images)) < bound

    freeze_attention(model, frozen=False)
    _, found = gradients(model, images, labels)
    for path, gradient in found.items():
        if "_attention/" in path:
            # The normalised map is multiplied by spatial_weight, which is 0 now, so
            # gamma and beta follow one step later.
            still = path.endswith(("gamma", "beta"))
            assert np.any(gradient) != still, path


def test_training_steps_are_the_source_networks(tmp_path):
    keras.config.set_dtype_policy("float64")
    source = randomise(build_tiny(attention=None), seed=1)
    export_weights(source, tmp_path / "plain.npz")
    model = build_tiny()
    load_checkpoint(model, tmp_path / "plain.npz")
    check_training_step(source, model, 32)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_published_depths_start_as_their_resnet(depth, tmp_path):
    arguments = {"input_shape": (48, 48, 3), "classifier_activation": None}
    source = randomise(AttentionResNet(depth, None, **arguments))
    export_weights(source, tmp_path / "plain.npz")
    model = AttentionResNet(depth, "sa", **arguments)
    assert load_checkpoint(model, tmp_path / "plain.npz").warm_start
    images = draw((2, 48, 48, 3))
    assert relative(model(images), source(images)) < 1e-5
    keras.utils.clear_session()

    keras.config.set_dtype_policy("float64")
    source = AttentionResNet(depth, None, **arguments)
    load_checkpoint(source, tmp_path / "plain.npz")
    model = AttentionResNet(depth, "sa", **arguments)
    load_checkpoint(model, tmp_path / "plain.npz")
    check_training_step(source, model, 48)


def test_a_plain_network_takes_the_plain_file(plain, tmp_path):
    export_weights(plain, tmp_path / "plain.npz")
    model = build_tiny(attention=None)
    report = load_checkpoint(model, tmp_path / "plain.npz")
    assert not report.warm_start
    assert_same_state(model, state_of(plain))


@pytest.fixture
def register():
    """Registers an attention for one test."""
    names = []

    def add(name, layer, placement="block"):
        register_attention(name, layer, placement)
        names.append(name)

    yield add
    for name in names:
        del ATTENTIONS[name]


class Halving(AttentionLayer):
    """Multiplies by a weight that is 0.5 at the start."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(), initializer=lambda s, dtype: 0.5)

    def call(self, inputs):
        return inputs * self.factor


class Relu(AttentionLayer):
    def call(self, inputs):
        return keras.ops.relu(inputs)


def test_any_attention_that_is_a_factor_at_the_start_can_be_warm(
    plain, tmp_path, register
):
    register("halving", Halving)
    export_weights(plain, tmp_path / "plain.npz")
    model = randomise(build_tiny("halving"), seed=9)
    assert load_checkpoint(model, tmp_path / "plain.npz").warm_start
    images = draw((2, 32, 32, 3))
    assert relative(model(images), plain(images)) < 1e-5


@pytest.mark.parametrize(
    ("layer", "placement", "message"),
    [
        (Relu, "block", "Relu changes its input"),
        (Halving, "stage", "multiplies by 0.5 .* no batch norm"),
    ],
)
def test_an_attention_that_can_not_be_undone_is_refused(
    plain, tmp_path, register, layer, placement, message
):
    register("other", layer, placement)
    export_weights(plain, tmp_path / "plain.npz")
    model = build_tiny("other")
    before = state_of(model)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(model, tmp_path / "plain.npz")
    assert_same_state(model, before)
