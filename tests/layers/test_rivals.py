"""The compared attention layers compute what their papers define."""

import contracts
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.layers import BAM
from keras_sa.layers import CBAM
from keras_sa.layers import EfficientChannelAttention
from keras_sa.layers import SpatialGroupEnhance
from keras_sa.layers import SqueezeExcitation
from keras_sa.layers import attention_names
from keras_sa.layers import get_attention

# Options for layers whose published defaults need many channels.
SMALL = {"sa": {"groups": 4}, "sge": {"groups": 4}}


RIVALS = [name for name in attention_names() if name != "sa"]


def make(attention, **kwargs):
    return get_attention(attention).layer(**SMALL.get(attention, {}), **kwargs)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def batch_norm(x, weights, training, epsilon=1e-5):
    gamma, beta, mean, variance = weights
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def convolution(x, kernel, bias=0.0, dilation=1):
    """Every output from every position of the kernel, zeros around the maps."""
    size = kernel.shape[0]
    reach = dilation * (size // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = x.shape[1:3]
    outputs = np.zeros((*x.shape[:3], kernel.shape[-1])) + bias
    for i in range(size):
        for j in range(size):
            top, left = dilation * i, dilation * j
            window = padded[:, top : top + height, left : left + width]
            outputs += window @ kernel[i, j]
    return outputs


def se(x, weights, training):
    reduce, reduce_bias, expand, expand_bias = weights.values()
    hidden = np.maximum(x.mean((1, 2)) @ reduce + reduce_bias, 0)
    return x * sigmoid(hidden @ expand + expand_bias)[:, None, None]


def eca(x, weights, training):
    (kernel,) = weights.values()
    means, reach = x.mean((1, 2)), len(kernel) // 2
    gates = np.zeros_like(means)
    for channel in range(x.shape[-1]):
        for k, weight in enumerate(kernel[:, 0, 0]):
            neighbour = channel + k - reach
            if 0 <= neighbour < x.shape[-1]:
                gates[:, channel] += weight * means[:, neighbour]
    return x * sigmoid(gates)[:, None, None]


def sge(x, weights, training, groups=4):
    gamma, beta = weights.values()
    outputs = np.empty_like(x)
    size = x.shape[-1] // groups
    for sample in range(len(x)):
        for group in range(groups):
            own = x[sample, ..., group * size : (group + 1) * size]
            similarity = own @ own.mean((0, 1))
            standard = (similarity - similarity.mean()) / (
                similarity.std(ddof=1) + 1e-5
            )
            gate = sigmoid(gamma[group] * standard + beta[group])
            outputs[sample, ..., group * size : (group + 1) * size] = (
                own * gate[..., None]
            )
    return outputs


def cbam(x, weights, training):
    reduce, reduce_bias, expand, expand_bias, kernel, *norm = weights.values()

    def mlp(vector):
        return np.maximum(vector @ reduce + reduce_bias, 0) @ expand + expand_bias

    x = x * sigmoid(mlp(x.mean((1, 2))) + mlp(x.max((1, 2))))[:, None, None]
    pooled = np.stack([x.max(-1), x.mean(-1)], -1)
    return x * sigmoid(batch_norm(convolution(pooled, kernel), norm, training))


def bam(x, weights, training):
    named = {path.split("/", 1)[1]: value for path, value in weights.items()}

    def norm(value, name):
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        parts = [named[f"{name}/{part}"] for part in parts]
        return np.maximum(batch_norm(value, parts, training), 0)

    def dense(value, name):
        return value @ named[f"{name}/kernel"] + named[f"{name}/bias"]

    channel = norm(dense(x.mean((1, 2)), "channel_reduce"), "channel_norm")
    channel = dense(channel, "channel_expand")[:, None, None]
    spatial = x
    for index, (name, dilation) in enumerate(
        [("spatial_reduce", 1), ("spatial_dilated_1", 4), ("spatial_dilated_2", 4)]
    ):
        spatial = convolution(
            spatial, named[f"{name}/kernel"], named[f"{name}/bias"], dilation
        )
        spatial = norm(spatial, f"spatial_norm_{index}")
    spatial = convolution(
        spatial, named["spatial_expand/kernel"], named["spatial_expand/bias"]
    )
    return x * (1 + sigmoid(channel + spatial))


REFERENCES = {"se": se, "eca": eca, "sge": sge, "cbam": cbam, "bam": bam}


@pytest.mark.parametrize("name", RIVALS)
def test_contract(name):
    contracts.check_attention_layer(lambda **kwargs: make(name, **kwargs), 32)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", RIVALS)
def test_equals_its_definition(name, training):
    x = contracts.maps(3, 7, 6, 32)
    layer = make(name)
    layer.build(x.shape)
    contracts.randomize(layer)
    weights = {
        weight.path: weight.numpy().astype("float64") for weight in layer.weights
    }
    expected = REFERENCES[name](x.astype("float64"), weights, training)
    outputs = layer(x, training=training)
    # Logits of order 10 lose the last digits of a float32.
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_faint_maps_of_sge():
    """Whose deviation is less than the epsilon that is added to it."""
    x = 1e-3 * contracts.maps(3, 7, 6, 32)
    layer = make("sge")
    layer.build(x.shape)
    contracts.randomize(layer)
    weights = {weight.path: weight.numpy() for weight in layer.weights}
    np.testing.assert_allclose(layer(x), sge(x, weights, False), rtol=1e-4)


def test_reductions_are_the_published():
    layers = (SqueezeExcitation(), CBAM(), BAM())
    assert [layer.get_config()["ratio"] for layer in layers] == [16, 16, 16]


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", RIVALS)
def test_what_is_said_of_the_channels_counts(name, channels_first):
    """Not what the user has set for layers that say nothing."""
    x = contracts.maps(2, 4, 4, 32)
    layer = make(name, data_format="channels_last")
    outputs = layer(x)
    keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(layer(x), outputs, rtol=1e-6)


@pytest.mark.parametrize("name", RIVALS)
def test_gradients_reach_every_weight_and_are_finite(name):
    layer = make(name)
    for maps in (contracts.maps(4, 6, 5, 32), np.full((2, 4, 4, 32), 3.0, "float32")):
        x = tf.constant(maps)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(layer(x, training=True) ** 3)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", RIVALS)
def test_maps_that_overflow_a_float16_sum(name):
    x = (300 + 20 * contracts.maps(1, 32, 32, 32)).astype("float16")
    full, half = make(name), make(name, dtype="float16")
    full.build(x.shape)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    expected, outputs = full(x.astype("float32")), half(x)
    assert outputs.dtype == "float16"
    np.testing.assert_allclose(
        keras.ops.cast(outputs, "float32"), expected, rtol=2e-3, atol=2e-1
    )


@pytest.mark.parametrize("name", ["se", "cbam", "bam", "eca"])
def test_few_channels_are_enough(name):
    # Fewer than the ratio of 16: the hidden layer keeps one unit.
    for channels in (1, 3, 8):
        outputs = make(name)(contracts.maps(2, 4, 4, channels))
        assert np.isfinite(outputs).all()


@pytest.mark.parametrize(
    "channels, size", [(1, 1), (16, 3), (64, 3), (256, 5), (512, 5), (2048, 7)]
)
def test_adaptive_kernel_size_of_eca(channels, size):
    layer = EfficientChannelAttention()
    layer.build((None, 4, 4, channels))
    assert layer.kernel.shape == (size, 1, 1)


def test_sge_starts_as_a_constant_factor():
    x = contracts.maps(2, 4, 4, 16)
    outputs = SpatialGroupEnhance(groups=4)(x)
    np.testing.assert_allclose(outputs, 0.7310586 * x, rtol=1e-5)


@pytest.mark.parametrize("channels", [8, 100])
def test_channels_that_do_not_fit_sge_are_refused_with_what_would(channels):
    with pytest.raises(ValueError, match=f"groups=64 and {channels} channels") as error:
        SpatialGroupEnhance().build((None, 7, 7, channels))
    fitting = str(error.value).split("one of [")[1].split("]")[0]
    for groups in map(int, fitting.split(",")):
        SpatialGroupEnhance(groups=groups).build((None, 7, 7, channels))


@pytest.mark.parametrize(
    "layer, arguments",
    [
        (SqueezeExcitation, {"ratio": 0}),
        (SqueezeExcitation, {"ratio": 16.0}),
        (CBAM, {"ratio": True}),
        (CBAM, {"kernel_size": 4}),
        (BAM, {"ratio": -1}),
        (BAM, {"dilation": 0}),
        (SpatialGroupEnhance, {"groups": 0}),
        (SpatialGroupEnhance, {"epsilon": 0.0}),
        (EfficientChannelAttention, {"kernel_size": 2}),
    ],
)
def test_bad_arguments_are_refused(layer, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"`{name}` must be.*Received: {name}={value}"):
        layer(**arguments)


def test_registered_names_are_a_file_format_promise():
    for name in attention_names():
        kind = get_attention(name).layer
        registered = keras.saving.get_registered_name(kind)
        assert registered == f"keras_sa>{kind.__name__}"
