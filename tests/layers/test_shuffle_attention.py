"""ShuffleAttention computes the published function, in every form and format."""

import contracts
import golden
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.layers import ShuffleAttention
from keras_sa.layers.shuffled_order import shuffled_order

# Golden name of each weight, in the order of the layer's weights.
PUBLISHED = ["cweight", "cbias", "sweight", "sbias", "gn.weight", "gn.bias"]
CASES = {
    "c256_g64": 64,
    "c128_g64": 64,
    "c32_g4": 4,
    "c16_g8": 8,
    "c48_g2": 2,
}


def reference(x, groups, weights, epsilon=1e-5, shuffle=True):
    """The definition, channel by channel, in float64."""
    channel_weight, channel_bias, spatial_weight, spatial_bias, gamma, beta = weights
    x = x.astype("float64")
    channels = x.shape[-1]
    half = channels // (2 * groups)
    outputs = np.empty_like(x)
    for channel in range(channels):
        position = channel % (2 * half)
        i = position % half
        for sample in range(len(x)):
            values = x[sample, :, :, channel]
            if position < half:
                z = channel_weight[i] * values.mean() + channel_bias[i]
            else:
                deviation = np.sqrt(values.var() + epsilon)
                normalised = (values - values.mean()) / deviation
                z = spatial_weight[i] * (gamma[i] * normalised + beta[i])
                z = z + spatial_bias[i]
            outputs[sample, :, :, channel] = values / (1 + np.exp(-z))
    return outputs[..., shuffled_order(channels)] if shuffle else outputs


def random_layer(x, **kwargs):
    layer = ShuffleAttention(**kwargs)
    layer.build(x.shape)
    contracts.randomize(layer)
    return layer


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_contract(groups, shuffle):
    contracts.check_attention_layer(
        lambda **kwargs: ShuffleAttention(groups=groups, shuffle=shuffle, **kwargs),
        channels=32,
    )


@pytest.mark.parametrize("case", CASES)
def test_equals_the_published_module_and_its_gradients(case):
    data = {
        key.removeprefix(f"{case}/"): value
        for key, value in golden.load("shuffle_attention.npz").items()
        if key.startswith(f"{case}/")
    }
    x = tf.constant(data["input"])
    layer = ShuffleAttention(groups=CASES[case])
    layer.build(x.shape)
    layer.set_weights([data[name] for name in PUBLISHED])
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
        gradients = tape.gradient(
            outputs, [x, *layer.trainable_weights], data["output_gradient"]
        )
        expected = [
            data["input_gradient"],
            *(data[f"{name}/gradient"] for name in PUBLISHED),
        ]
        np.testing.assert_allclose(outputs, data["output"], rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(gradients, expected, strict=True):
            error = np.linalg.norm(ours - theirs)
            assert error <= 1e-5 * np.linalg.norm(theirs) + 1e-6


def test_starts_as_a_scaled_shuffle():
    x = contracts.maps(2, 4, 4, 16)
    outputs = ShuffleAttention(groups=4)(x)
    expected = (
        0.7310586 * x[..., [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]]
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)


def test_pre_shuffled_input_gives_the_same_output():
    x = contracts.maps(2, 5, 6, 24)
    layer = random_layer(x, groups=3)
    pre_shuffled = ShuffleAttention(groups=3, pre_shuffled=True)
    pre_shuffled.build(x.shape)
    pre_shuffled.set_weights(layer.get_weights())
    outputs = pre_shuffled(x[..., shuffled_order(24)])
    np.testing.assert_allclose(outputs, layer(x), rtol=1e-5, atol=1e-6)


def test_large_mean():
    # A one-pass variance would be off by more than its value here.
    x = 1000 + contracts.maps(2, 14, 14, 16)
    layer = random_layer(x, groups=2)
    # Keeps the channel branch's sigmoid(weight * 1000 + bias) out of saturation.
    layer.channel_weight.assign(layer.channel_weight * 1e-3)
    expected = reference(x, 2, layer.get_weights())
    # The mean itself is known to 1e-4 of a standard deviation in float32.
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_maps_that_overflow_a_float16_sum(policy):
    x = (300 + 20 * contracts.maps(1, 32, 32, 16)).astype("float16")
    assert x.astype("float32").sum(axis=(1, 2)).min() > np.finfo("float16").max
    layer = ShuffleAttention(groups=2, dtype=policy)
    layer.build(x.shape)
    contracts.randomize(layer)
    expected = reference(x, 2, layer.get_weights())
    np.testing.assert_allclose(
        keras.ops.cast(layer(x), "float32"), expected, rtol=2e-3, atol=2e-1
    )


def test_one_by_one_maps_are_gated_by_the_biases_of_the_spatial_branch():
    x = contracts.maps(3, 1, 1, 8)
    layer = random_layer(x, groups=2)
    expected = reference(x, 2, layer.get_weights())
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_constant_maps_have_finite_gradients():
    x = tf.ones((2, 4, 4, 8)) * 3.0
    layer = random_layer(x, groups=2)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
    assert np.isfinite(tape.gradient(outputs, x)).all()


def test_samples_do_not_see_each_other():
    x = contracts.maps(4, 5, 5, 16)
    layer = random_layer(x, groups=4)
    alone = np.concatenate([layer(sample[None]) for sample in x])
    np.testing.assert_allclose(layer(x), alone, rtol=1e-5, atol=1e-6)


def test_channels_of_the_two_halves_are_interleaved():
    # What comes out at 2i was channel i, at 2i + 1 channel C/2 + i.
    x = np.zeros((1, 2, 2, 8), "float32")
    x[..., 5] = 1.0
    outputs = np.array(ShuffleAttention(groups=1)(x))
    assert outputs[0, 0, 0].nonzero()[0].tolist() == [3]


def test_no_tensor_has_more_than_four_axes():
    # Converters for other runtimes reject the rank-5 tensors of the usual shuffle.
    for data_format in ("channels_last", "channels_first"):
        layer = ShuffleAttention(groups=2, data_format=data_format)
        inputs = tf.TensorSpec((None, 8, 8, 8))
        graph = tf.function(layer).get_concrete_function(inputs).graph
        ranks = [
            output.shape.rank
            for operation in graph.get_operations()
            for output in operation.outputs
        ]
        assert max(rank for rank in ranks if rank is not None) == 4


@pytest.mark.parametrize("channels", [8, 320, 192])
def test_channels_that_do_not_fit_are_refused_with_what_would(channels):
    with pytest.raises(ValueError, match=f"groups=64 and {channels} channels") as error:
        ShuffleAttention(groups=64).build((None, 7, 7, channels))
    fitting = str(error.value).split("one of [")[1].split("]")[0]
    for groups in map(int, fitting.split(",")):
        ShuffleAttention(groups=groups).build((None, 7, 7, channels))


def test_odd_channels_are_refused():
    with pytest.raises(ValueError, match="3 channels are odd"):
        ShuffleAttention(groups=1).build((None, 7, 7, 3))


@pytest.mark.parametrize("groups", [0, -1, 2.0, True, "64"])
def test_bad_groups_are_refused(groups):
    with pytest.raises(ValueError, match="`groups` must be an integer.*Received"):
        ShuffleAttention(groups=groups)


def test_bad_epsilon_and_pre_shuffled_are_refused():
    with pytest.raises(ValueError, match="`epsilon` must be greater than 0"):
        ShuffleAttention(epsilon=0.0)
    with pytest.raises(ValueError, match="needs `shuffle=True`"):
        ShuffleAttention(shuffle=False, pre_shuffled=True)


def test_the_file_format_promise():
    layer = ShuffleAttention(groups=2)
    layer.build((None, 4, 4, 8))
    assert [weight.name for weight in layer.weights] == [
        "channel_weight",
        "channel_bias",
        "spatial_weight",
        "spatial_bias",
        "gamma",
        "beta",
    ]
    registered = keras.saving.get_registered_name(ShuffleAttention)
    assert registered == "keras_sa>ShuffleAttention"


@pytest.mark.parametrize(
    "shuffle, pre_shuffled", [(True, False), (True, True), (False, False)]
)
def test_the_gate_is_in_the_order_of_the_outputs(shuffle, pre_shuffled):
    x = contracts.maps(2, 5, 4, 32)
    layer = ShuffleAttention(4, shuffle=shuffle, pre_shuffled=pre_shuffled)
    layer.build(x.shape)
    contracts.randomize(layer)
    outputs, gate = layer(x), layer.gate(x)
    if shuffle and not pre_shuffled:
        x = x.reshape(2, 5, 4, 2, 16).swapaxes(3, 4).reshape(x.shape)
    np.testing.assert_allclose(outputs, x * gate, rtol=1e-5)
