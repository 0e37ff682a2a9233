"""The SA-ResNets are the published networks, built as keras.applications builds."""

import inspect
import math
import re

import golden
import keras
import numpy as np
import pytest
import tiny_networks

from keras_sa.applications import AttentionResNet
from keras_sa.applications import SAResNet50
from keras_sa.applications import SAResNet101
from keras_sa.applications import SAResNet152
from keras_sa.applications import feature_pyramid
from keras_sa.layers import ShuffleAttention
from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.weights.mapping import published_weights

PARAMETERS = {
    SAResNet50: (25_557_740, 708),
    SAResNet101: (44_550_684, 1_524),
    SAResNet152: (60_195_052, 2_244),
}
DEEPER = [SAResNet101, SAResNet152]
TINY = {
    "blocks": (1, 1, 1, 1),
    "width": 16,
    "attention_options": {"groups": 4},
    "input_shape": (64, 64, 3),
    "classes": 5,
}


def trainable_parameters(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    "builder",
    [SAResNet50, *(pytest.param(b, marks=pytest.mark.slow) for b in DEEPER)],
)
def test_parameters_are_the_published_ones(builder):
    expected, of_attention = PARAMETERS[builder]
    model = builder(weights=None)
    assert trainable_parameters(model) == expected
    depth = int(model.name.removeprefix("sa_resnet"))
    assert trainable_parameters(AttentionResNet(depth, None)) == expected - of_attention


def test_weights_have_the_published_names_and_shapes():
    expected = {
        name: tuple(shape)
        for name, shape in golden.load("sa_resnet50_state_dict.json").items()
        if not name.endswith("num_batches_tracked")
    }
    table = published_weights(SAResNet50(weights=None))
    assert {name: weight.shape for name, weight in table.items()} == expected


@pytest.mark.parametrize(
    "builder", [SAResNet50, pytest.param(SAResNet101, marks=pytest.mark.slow)]
)
def test_equals_the_published_network(builder):
    model = builder(weights=None, classifier_activation=None)
    golden.set_published_weights(model)
    depth = model.name.removeprefix("sa_resnet")
    expected = golden.load(f"sa_resnet{depth}.npz")
    outputs = {**feature_pyramid(model).output, "logits": model.output}
    images = golden.images("image", (2, 3, 224, 224))
    outputs = keras.Model(model.input, outputs).predict(images, verbose=0)
    tolerance = 1e-4 * expected["logits"].std()
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=tolerance)
    for stage in (2, 3, 4, 5):
        maps = outputs[f"P{stage}"]
        std = expected[f"stage{stage}/std"]
        assert maps.shape == tuple(expected[f"stage{stage}/shape"])
        np.testing.assert_allclose(maps.std(), std, rtol=1e-4)
        np.testing.assert_allclose(
            maps.mean(axis=(1, 2)),
            expected[f"stage{stage}/channel_mean"],
            atol=1e-4 * std,
        )


def test_image_sizes_and_channels_without_top():
    for channels in (1, 3, 4):
        model = AttentionResNet(
            **{**TINY, "input_shape": (None, None, channels)}, include_top=False
        )
        images = np.ones((2, 33, 47, channels), "float32")
        assert model.predict(images, verbose=0).shape == (2, 2, 2, 512)


def test_any_image_size_with_top():
    model = AttentionResNet(**{**TINY, "input_shape": (None, None, 3)})
    for size in (32, 50):
        scores = model.predict(np.ones((1, size, size, 3), "float32"), verbose=0)
        np.testing.assert_allclose(scores.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "pooling, shape",
    [(None, (None, 2, 2, 512)), ("avg", (None, 512)), ("max", (None, 512))],
)
def test_pooling(pooling, shape):
    model = AttentionResNet(**TINY, include_top=False, pooling=pooling)
    assert model.output_shape == shape


def test_small_stem_keeps_the_resolution_of_small_images():
    model = AttentionResNet(**{**TINY, "input_shape": (28, 28, 1)}, stem="small")
    assert feature_pyramid(model).output["P2"].shape == (None, 28, 28, 64)


def test_input_tensor():
    inputs = keras.Input((64, 64, 6))
    three = keras.layers.Conv2D(3, 1)(inputs)
    model = AttentionResNet(**{**TINY, "input_shape": None}, input_tensor=three)
    assert model.inputs[0].shape == (None, 64, 64, 6)
    with pytest.raises(ValueError, match="must be a Keras tensor"):
        AttentionResNet(**TINY, input_tensor=np.ones((1, 64, 64, 3)))


def test_names():
    model = SAResNet50(weights=None, name="mine")
    names = [layer.name for layer in model.layers]
    assert model.name == "mine"
    assert names[0] == "images"
    assert names[-1] == "predictions"
    assert "conv2_block1_attention" in names


def test_groups_and_shuffle_reach_the_layers():
    model = SAResNet50(weights=None, groups=32, shuffle=False)
    layers = [x for x in model.layers if isinstance(x, ShuffleAttention)]
    assert len(layers) == 16
    assert all(x.groups == 32 and not x.shuffle for x in layers)


def test_without_shuffle_is_another_function():
    images = golden.images("image", (2, 3, 64, 64))
    options = [{"groups": 4, "shuffle": shuffle} for shuffle in (True, False)]
    logits = []
    for attention_options in options:
        model = AttentionResNet(**{**TINY, "attention_options": attention_options})
        golden.set_published_weights(model)
        logits.append(model.predict(images, verbose=0))
    assert abs(logits[0] - logits[1]).max() > 1e-3


def test_a_network_without_shuffle_can_compute_the_same_with_permuted_weights():
    """The channels of a stage are only named differently: nothing else is grouped.

    So networks with and without shuffle that start at random and are trained by an
    ordinary optimizer are draws from the same distribution.
    """
    with_shuffle, without = (
        tiny_networks.build_tiny(
            blocks=(2, 2), attention_options={"groups": 4, "shuffle": shuffle}
        )
        for shuffle in (True, False)
    )
    tiny_networks.randomise(with_shuffle)
    # Where a channel of each stage's map is found if nothing shuffles.
    places = {2: np.argsort(shuffled_order(64)), 3: np.argsort(shuffled_order(128))}
    for source, target in zip(with_shuffle.layers, without.layers, strict=True):
        values = source.get_weights()
        match = re.fullmatch(r"conv(\d)_block(\d)_(\d)_(conv|bn)", source.name)
        if match:
            stage, block, part = map(int, match.groups()[:3])
            if part in (0, 3):
                values = [value[..., places[stage]] for value in values]
            read = stage - 1 if block == 1 else stage
            if match[4] == "conv" and part in (0, 1) and read in places:
                values = [value[:, :, places[read]] for value in values]
        if source.name == "predictions":
            values[0] = values[0][places[3]]
        target.set_weights(values)
    images = golden.images("image", (2, 3, 32, 32))
    np.testing.assert_allclose(
        without.predict(images, verbose=0),
        with_shuffle.predict(images, verbose=0),
        atol=1e-5,
    )


def test_signature_is_that_of_keras_applications():
    theirs = inspect.signature(keras.applications.ResNet50).parameters
    for builder in PARAMETERS:
        ours = inspect.signature(builder).parameters
        assert list(ours)[: len(theirs)] == list(theirs)
        assert list(ours)[len(theirs) :] == ["groups", "shuffle"]


def test_channels_first_has_the_same_weights_and_output():
    images = golden.images("image", (2, 3, 64, 64))
    model = AttentionResNet(**TINY)
    golden.set_published_weights(model)
    expected = model.predict(images, verbose=0)
    keras.config.set_image_data_format("channels_first")
    model = AttentionResNet(**{**TINY, "input_shape": (3, 64, 64)})
    golden.set_published_weights(model)
    outputs = model.predict(np.moveaxis(images, -1, 1), verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_ends_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    model = AttentionResNet(**TINY)
    assert model.compute_dtype == policy.removeprefix("mixed_")
    scores = model.predict(np.ones((2, 64, 64, 3), "float32"), verbose=0)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_saves_and_loads(tmp_path):
    model = AttentionResNet(**TINY)
    golden.set_published_weights(model)
    images = golden.images("image", (2, 3, 64, 64))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_weights_from_a_path(tmp_path):
    model = AttentionResNet(**TINY)
    golden.set_published_weights(model)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    loaded = AttentionResNet(**TINY, weights=path)
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (31, 64, 3)}, "at least 32.*Received: input_shape="),
        ({"input_shape": (64, 64)}, "without the batch axis.*Received"),
        ({"input_shape": (64, 64, None)}, "channels in `input_shape` must be known"),
        ({"classes": 0}, "`classes` must be at least 1. Received: classes=0"),
        ({"pooling": "mean"}, "`pooling` must be None or one of.*'mean'"),
        ({"stem": "big"}, "`stem` must be one of.*'big'"),
        ({"attention": "sam"}, "`attention` must be None or one of.*'sam'"),
        ({"attention": None}, "`attention_options` need an attention"),
        ({"attention_options": {"groups": 64}}, "groups can be one of"),
        ({"blocks": (1, 0)}, "at least one block"),
        ({"blocks": None, "depth": 18}, "`depth` must be one of.*depth=18"),
        ({"weights": "no/such/file.h5"}, "no/such/file.h5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        AttentionResNet(**{**TINY, **arguments})
