"""Group scores are the paper's, whatever the order in which channels are stored."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks

from keras_sa.layers import ShuffleAttention
from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.visualization import explain
from keras_sa.visualization import group_scores

GROUPS = 16
LAYER = "conv3_block1_out"


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def one_by_one(network, images, labels):
    """The definition: an image, a group and a call at a time."""
    maps = keras.Model(network.input, network.get_layer(LAYER).output)
    scores = np.empty((len(images), GROUPS))
    hits = np.empty((len(images), GROUPS), bool)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        activations = maps(image[np.newaxis]).numpy()[0]
        width = activations.shape[-1] // GROUPS
        for group in range(GROUPS):
            chunk = activations[..., group * width : (group + 1) * width]
            mask = tf.image.resize(chunk.mean(-1, keepdims=True), (32, 32)).numpy()
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            found = softmax(network((image * mask)[np.newaxis]).numpy())[0]
            scores[i, group] = found[label]
            hits[i, group] = found.argmax() == label
    return scores, hits


@pytest.fixture(scope="module")
def labels(network, images):
    """The second best class of one image, the best ones of the others."""
    order = network(images).numpy().argsort(-1)
    return [int(order[0, -2]), *map(int, order[1:, -1])]


def test_they_are_those_of_a_plain_loop(network, images, labels):
    scores, hits = one_by_one(network, images, labels)
    result = group_scores(network, images, None, GROUPS, labels)
    np.testing.assert_allclose(result.scores, scores, atol=2e-5)
    np.testing.assert_array_equal(result.hits, hits)
    assert 0 < hits.mean() < 1
    np.testing.assert_allclose(result.mean_score, scores.mean(0), atol=2e-5)
    np.testing.assert_allclose(result.hit_rate, hits.mean(0))
    whole = softmax(network(images).numpy())
    np.testing.assert_allclose(result.whole_scores, whole[range(3), labels], atol=2e-5)
    assert result.whole_hits.tolist() == [False, True, True]
    assert result.class_index.tolist() == labels


def test_masks_are_computed_in_batches(network, images, monkeypatch):
    sizes = []
    predict = network.predict_on_batch
    monkeypatch.setattr(
        network, "predict_on_batch", lambda x: (sizes.append(len(x)), predict(x))[1]
    )
    at_once = group_scores(network, images, LAYER, GROUPS)
    in_parts = group_scores(network, images, LAYER, GROUPS, batch_size=32)
    assert sizes == [48, 32, 16]
    np.testing.assert_allclose(in_parts.scores, at_once.scores, atol=2e-5)
    # Fewer than an image has masks.
    few = group_scores(network, images[:1], LAYER, GROUPS, batch_size=12)
    assert sizes[3:] == [12, 4]
    np.testing.assert_allclose(few.scores, at_once.scores[:1], atol=2e-5)


def test_without_labels_the_answer_itself_is_the_class(network, images):
    result = group_scores(network, images, LAYER, 2)
    assert result.whole_hits.all()
    assert result.class_index.tolist() == network(images).numpy().argmax(-1).tolist()


def test_before_an_attention_channels_have_the_published_order():
    """However the shuffle is done: on the maps, or in the order of the storage."""
    results = []
    for pre_shuffled in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(16, 3)(inputs)
        if pre_shuffled:
            x = keras.ops.take(x, shuffled_order(16), axis=-1)
        x = ShuffleAttention(groups=4, pre_shuffled=pre_shuffled, name="sa")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        model = keras.Model(inputs, keras.layers.Dense(3)(x))
        images = np.random.default_rng(0).standard_normal((2, 8, 8, 3))
        for at in ("input", "output"):
            results.append(group_scores(model, images, "sa", 8, at=at).scores)
    np.testing.assert_allclose(results[0], results[2], atol=1e-6)
    np.testing.assert_allclose(results[1], results[3], atol=1e-6)
    assert not np.allclose(results[0], results[1], atol=1e-3)


def test_a_sigmoid_is_hit_above_one_half():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    # A bias between the scores of the masks.
    bias = keras.initializers.Constant(0.1)
    x = keras.layers.Dense(1, activation="sigmoid", bias_initializer=bias)(x)
    model = keras.Model(inputs, x)
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 3))
    result = group_scores(model, images, groups=4, class_index=0)
    np.testing.assert_array_equal(result.hits, result.scores > 0.5)
    assert 0 < result.hits.mean() < 1
    np.testing.assert_allclose(
        result.whole_scores, model(images).numpy()[:, 0], atol=1e-6
    )


def headed(network, layer):
    return keras.Model(network.input, layer(network.output))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("head", "multi_label", "function"),
    [
        (keras.layers.Lambda(keras.ops.sigmoid), False, sigmoid),
        (keras.layers.Activation("sigmoid"), True, sigmoid),
        (keras.layers.Lambda(lambda x: x), True, sigmoid),
        (keras.layers.Lambda(keras.ops.log_softmax), False, softmax),
        (keras.layers.Activation("log_sigmoid"), False, sigmoid),
    ],
)
def test_scores_are_probabilities_of_any_head(
    network, images, head, multi_label, function
):
    """They are activated once."""
    model = headed(network, head)
    result = group_scores(model, images, LAYER, 2, 4, multi_label=multi_label)
    whole = function(network(images).numpy())[:, 4]
    np.testing.assert_allclose(result.whole_scores, whole, atol=1e-5)
    expected = group_scores(network, images, LAYER, 2, 4).scores
    if function is softmax:
        np.testing.assert_allclose(result.scores, expected, atol=1e-5)
    else:
        np.testing.assert_array_equal(result.hits, result.scores > 0.5)
        assert not np.allclose(result.scores, expected, atol=0.01)
    found = explain(model, images[0], multi_label=multi_label)
    logits = network(images[:1]).numpy()
    best = function(logits)[0, found.classes]
    np.testing.assert_allclose(found.scores, best, atol=1e-5)


def test_a_softmax_has_no_several_labels(network, images):
    model = headed(network, keras.layers.Softmax())
    with pytest.raises(ValueError, match="softmax gives one class.*multi_label=True"):
        group_scores(model, images, multi_label=True)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_network_that_normalises_by_itself_scores_the_same(network, images, dtype):
    """A mask leaves the colour that becomes 0, not black."""
    mean, scale = np.array([100.0, 120.0, 130.0]), 32.0
    pixels = np.rint(images * 16 + mean).clip(0, 255).astype(dtype)
    inputs = keras.Input((32, 32, 3), dtype=dtype)
    x = keras.layers.Normalization(mean=mean, variance=[scale**2] * 3)(inputs)
    model = keras.Model(inputs, network(x))
    normalized = ((pixels - mean) / scale).astype("float32")
    expected = group_scores(network, normalized, LAYER, 4)
    found = group_scores(model, pixels, LAYER, 4)
    # Masked integers are rounded: half a pixel is 1/64.
    tolerance = {"float32": 1e-4, "uint8": 0.02}[dtype]
    np.testing.assert_allclose(found.scores, expected.scores, atol=tolerance)
    # Floats for integers are rounded, not cut off.
    again = group_scores(model, pixels.astype("float32") - 0.4, LAYER, 4)
    same = dtype == "uint8"
    assert np.array_equal(again.scores, found.scores) is same


def test_a_constant_map_masks_everything(nearly_constant):
    """Also where it is constant up to rounding, and nothing is divided by 0."""
    model, images = nearly_constant
    for constant in (images, np.full_like(images, 0.3)):
        result = group_scores(model, constant, "map", groups=2, class_index=0)
        # Of a black image nothing is left but the biases, which are 0.
        np.testing.assert_allclose(result.scores, 0.5, atol=1e-6)
        assert (result.whole_scores > 0.9).all()


def test_channels_first_scores_the_same(network, images):
    expected = group_scores(network, images, LAYER, GROUPS)
    keras.config.set_image_data_format("channels_first")
    model = tiny_networks.build_tiny(input_shape=(3, 32, 32))
    model.set_weights(network.get_weights())
    found = group_scores(model, np.moveaxis(images, -1, 1), LAYER, GROUPS)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"groups": 3}, r"128 channels, as \[1, 2, 4.*groups=3"),
        ({"groups": 0}, "groups=0"),
        ({"at": "middle"}, "at='middle'"),
        ({"class_index": [0, 1]}, "each of the 3 images"),
        ({"layer": "nothing"}, "layer='nothing'"),
    ],
)
def test_bad_arguments_are_refused(network, images, arguments, message):
    with pytest.raises(ValueError, match=message):
        group_scores(network, images, **arguments)
