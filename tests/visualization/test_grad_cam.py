"""Grad-CAM is its definition, in every kind of model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks

from keras_sa.visualization import grad_cam

CLASSES = [3, 1, 7]


def scaled(maps):
    """The definition's last step, for maps that are not constant."""
    low = maps.min((1, 2), keepdims=True)
    return (maps - low) / (maps.max((1, 2), keepdims=True) - low)


def upright(maps, size=32):
    return tf.image.resize(maps[..., np.newaxis], (size, size)).numpy()[..., 0]


def headed(network, *layers):
    """The network's logits with layers behind them."""
    x = network.output
    for layer in layers:
        x = layer(x)
    return keras.Model(network.input, x)


def with_activation(network, activation):
    model = tiny_networks.build_tiny(classifier_activation=activation)
    model.set_weights(network.get_weights())
    return model


class Subclassed(keras.Model):
    def __init__(self, base, function=None):
        super().__init__()
        self.base = base
        self.function = function or (lambda x: x)

    def call(self, inputs):
        return self.function(self.base(inputs))


@pytest.fixture(scope="module")
def maps(network, images):
    return grad_cam(network, images, CLASSES)


def test_at_the_last_block_it_is_the_classes_weights(network, images, maps):
    """Behind a global average the gradient is known: the dense layer's weights."""
    last = keras.Model(network.input, network.get_layer("conv3_block1_out").output)
    activations = last(images).numpy()
    kernel = network.get_layer("predictions").get_weights()[0]
    sums = np.einsum("nhwc,cn->nhw", activations, kernel[:, CLASSES])
    assert (sums < 0).any()
    expected = scaled(upright(np.maximum(sums, 0)))
    # Rounding of float32 in sums of 128 products.
    np.testing.assert_allclose(maps, expected, atol=2e-5)
    assert maps.shape == (3, 32, 32)
    assert maps.dtype == np.float32


def test_at_an_inner_layer_it_agrees_with_finite_differences(network, images):
    inner = network.get_layer("conv2_block1_out").output
    activation = keras.Model(network.input, inner)(images[:1]).numpy()
    rest = keras.Model(inner, network.output)
    channels, step = activation.shape[-1], 0.05
    shifts = step * np.eye(channels, dtype="float32")[:, np.newaxis, np.newaxis]
    difference = rest(activation + shifts) - rest(activation - shifts)
    weights = difference.numpy()[:, 4] / (2 * step)
    expected = scaled(upright(np.maximum(activation @ weights, 0)))
    found = grad_cam(network, images[:1], 4, "conv2_block1_out")
    # Differences of float32 logits over steps of 0.1 have three to four digits.
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batches_change_nothing(network, images, maps, batch_size):
    found = grad_cam(network, images, CLASSES, batch_size=batch_size)
    np.testing.assert_allclose(found, maps, atol=2e-5)


def test_the_default_class_is_the_predicted_one(network, images):
    predicted = network(images).numpy().argmax(-1)
    np.testing.assert_allclose(
        grad_cam(network, images), grad_cam(network, images, predicted), atol=1e-6
    )


def own_softmax(x):
    return keras.ops.softmax(x + 3.0)


HEADS = {
    "softmax": lambda n: with_activation(n, "softmax"),
    "sigmoid": lambda n: with_activation(n, "sigmoid"),
    "softmax layer": lambda n: headed(n, keras.layers.Softmax()),
    "activation layer": lambda n: headed(n, keras.layers.Activation("softmax")),
    "operation": lambda n: headed(n, keras.ops.softmax),
    "logarithm": lambda n: with_activation(n, "log_softmax"),
    "logarithm's operation": lambda n: headed(n, keras.ops.log_softmax),
    "reshaped": lambda n: headed(n, keras.layers.Softmax(), keras.layers.Reshape([10])),
    "sequential": lambda n: keras.Sequential([n, keras.layers.Softmax()]),
    "subclassed": lambda n: Subclassed(with_activation(n, "softmax")),
    "lambda": lambda n: headed(n, keras.layers.Lambda(keras.ops.sigmoid)),
    "function of a subclass": lambda n: Subclassed(n, keras.activations.sigmoid),
    "operation of a subclass": lambda n: Subclassed(n, keras.ops.log_softmax),
    "activation of one's own": lambda n: with_activation(n, own_softmax),
}


@pytest.mark.parametrize("head", HEADS)
def test_the_gradient_is_that_of_the_logits(network, images, maps, head):
    # Large logits: a softmax's gradient would vanish, a sigmoid's too.
    model = HEADS[head](network)
    np.testing.assert_allclose(grad_cam(model, images, CLASSES), maps, atol=2e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_fine_tuned_model_with_its_base_inside(network, images, maps, frozen):
    base = keras.Model(network.input, network.get_layer("conv3_block1_out").output)
    base.trainable = not frozen
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 2, 1.0)(inputs)
    x = base(x, training=False)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    dense = keras.layers.Dense(10, activation="softmax")
    model = keras.Model(inputs, dense(keras.layers.Dropout(0.5)(x)))
    dense.set_weights(network.get_layer("predictions").get_weights())
    for layer in (None, "conv3_block1_out", base.name, base.layers[-1]):
        found = grad_cam(model, 2 * images - 2, CLASSES, layer)
        np.testing.assert_allclose(found, maps, atol=2e-5)
    # Twice nested.
    outer = keras.Sequential([keras.Input((32, 32, 3)), model])
    found = grad_cam(outer, 2 * images - 2, CLASSES)
    np.testing.assert_allclose(found, maps, atol=2e-5)


@pytest.mark.parametrize(
    # bfloat16 has 8 bits, so maps of two blocks agree to some percent.
    "policy, tolerance",
    [("mixed_float16", 0.02), ("mixed_bfloat16", 0.12)],
)
def test_mixed_precision_is_near_float32(network, images, maps, policy, tolerance):
    keras.config.set_dtype_policy(policy)
    model = with_activation(network, "softmax")
    found = grad_cam(model, images, CLASSES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, maps, atol=tolerance)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_of_half_precision_that_are_cast(
    network, images, maps, activation
):
    """As Keras' guide to mixed precision ends a model."""
    keras.config.set_dtype_policy("mixed_float16")
    pooled = tiny_networks.build_tiny(include_top=False, pooling="avg")
    dense = keras.layers.Dense(10, activation=activation)
    cast = keras.layers.Activation("linear", dtype="float32")
    model = headed(pooled, dense, cast)
    model.set_weights(network.get_weights())
    found = grad_cam(model, images, CLASSES)
    np.testing.assert_allclose(found, maps, atol=0.02)


def two_convolutions(kernel_factor=1):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(16, 3, name="map", activation="relu")(inputs)
    x = keras.layers.Conv2D(16, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(x))
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel_factor * kernel, bias])
    return model


def test_large_gradients_do_not_overflow_half_precision():
    images = np.random.default_rng(0).standard_normal((3, 8, 8, 2)).astype("float32")
    expected = grad_cam(two_convolutions(), images, 1, "map")
    assert (expected.max((1, 2)) == 1).all()
    keras.config.set_dtype_policy("mixed_float16")
    for factor in (2.0**7, 2.0**14):
        found = grad_cam(two_convolutions(factor), images, 1, "map")
        np.testing.assert_allclose(found, expected, atol=0.01)
    with pytest.raises(ValueError, match="not finite.*layer='map'"):
        grad_cam(two_convolutions(), 1e6 * images, 1, "map")


def test_logits_between_0_and_1_are_taken_as_they_are(network, images):
    model = headed(network, keras.layers.Dense(2, kernel_initializer="zeros"))
    model.layers[-1].bias.assign([0.25, 0.75])
    assert not grad_cam(model, images, 0).any()


def test_channels_first(network, images, maps):
    keras.config.set_image_data_format("channels_first")
    model = tiny_networks.build_tiny(input_shape=(3, 32, 32))
    model.set_weights(network.get_weights())
    found = grad_cam(model, np.moveaxis(images, -1, 1), CLASSES)
    np.testing.assert_allclose(found, maps, atol=1e-4)


def test_a_constant_map_gives_zeros(nearly_constant):
    """Also where it is constant up to rounding: noise must not become a picture."""
    model, images = nearly_constant
    for constant in (images, np.full_like(images, 0.3)):
        maps = grad_cam(model, constant, 0, "map")
        np.testing.assert_array_equal(maps, 0)


def test_the_map_shows_the_object_and_random_weights_destroy_it(trained, spots):
    """The sanity check of Adebayo et al. (2018), with a known truth."""
    images, labels, places = (part[:64] for part in spots)
    assert trained.evaluate(images, labels, verbose=0)[1] > 0.95

    def contrast(model):
        maps = grad_cam(model, images, labels)
        return maps[places].mean() - maps[~places].mean(), maps

    seen, maps = contrast(trained)
    copy = keras.models.clone_model(trained)
    tiny_networks.randomise(copy, seed=3)
    unseen, random_maps = contrast(copy)
    assert seen > 0.4
    assert unseen < seen / 2
    pairs = zip(maps, random_maps, strict=True)
    correlation = np.mean([np.corrcoef(a.flat, b.flat)[0, 1] for a, b in pairs])
    assert correlation < 0.5


def test_the_model_is_left_as_it_was(network, images):
    before = [dict(vars(layer)) for layer in network.layers]
    outputs = network.predict(images, verbose=0)
    grad_cam(network, images)
    with pytest.raises(Exception, match="shape"):
        grad_cam(network, images[..., :2])
    assert [dict(vars(layer)) for layer in network.layers] == before
    np.testing.assert_array_equal(network.predict(images, verbose=0), outputs)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"class_index": 10}, r"a class in 0\.\.9.*class_index=10"),
        ({"class_index": [1, 2]}, "each of the 3 images"),
        ({"class_index": 0.5}, "class_index=0.5"),
        ({"layer": "conv3_block2_out"}, "Did you mean.*conv3_block1_out"),
        ({"layer": "avg_pool"}, "rank 4.*last ones.*conv3_block1_out"),
        ({"layer": 3}, "Received: layer=3. The last ones"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_arguments_are_refused(network, images, arguments, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(network, images, **arguments)


def test_bad_models_and_images_are_refused(network, images):
    with pytest.raises(ValueError, match=r"rank 4.*shape=\(32, 32, 3\)"):
        grad_cam(network, images[0])
    for function in (tf.nn.softmax, tf.nn.sigmoid, lambda x: tf.nn.sigmoid(x[:, :1])):
        with pytest.raises(ValueError, match="it is not known what makes them"):
            grad_cam(Subclassed(network, function), images)
    first, second = keras.Input((32, 32, 3)), keras.Input((4,), name="more")
    x = keras.layers.GlobalAveragePooling2D()(first)
    with pytest.raises(ValueError, match="one input, the images.*'more'"):
        x = keras.layers.Dense(2)(keras.layers.Concatenate()([x, second]))
        grad_cam(keras.Model([first, second], x), [images, np.ones((3, 4))])
    two = keras.Model(network.input, [network.output, network.output])
    with pytest.raises(ValueError, match=r"one output of the shape \(batch, classes\)"):
        grad_cam(two, images)
    inputs = keras.Input((32, 32, 3))
    flat = keras.layers.GlobalAveragePooling2D()(inputs)
    no_map = keras.Model(inputs, keras.layers.Dense(2)(flat))
    with pytest.raises(ValueError, match="no layer with a map"):
        grad_cam(no_map, images)


def test_a_layer_beside_the_way_is_refused(images):
    inputs = keras.Input((32, 32, 3))
    side = keras.layers.Conv2D(2, 1, name="side")(inputs)
    x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(inputs))
    x = keras.layers.Lambda(lambda pair: pair[0])([x, side])
    model = keras.Model(inputs, x)
    with pytest.raises(ValueError, match="do not depend on.*layer='side'"):
        grad_cam(model, images, layer="side")
