"""The fused network gives the same numbers, whatever the network was."""

import inspect
import os
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from serving_samples import randomize
from serving_samples import small_network
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from keras_sa.layers import ShuffleAttention
from keras_sa.serving import fuse
from keras_sa.serving import with_precision
from keras_sa.serving.fusion import rules
from keras_sa.serving.fusion.emitter import IDLE
from keras_sa.serving.fusion.gates import WholeGate
from keras_sa.study import AblatedShuffleAttention
from keras_sa.study import register_ablations

KINDS = [{}, {"portable": False}, {"whole": True}]
ALL = "left as they are: none"


def assert_equivalent(model, shape=(3, 32, 32, 3)):
    """Checks the outputs of all kinds to 1e-4 of their deviation.

    Returns the portable one and its report.
    """
    images = np.random.default_rng(1).standard_normal(shape).astype("float32")
    for kind in KINDS[1:]:
        assert_same_outputs(model, fuse(model, **kind), images)
    fused, report = fuse(model, return_report=True)
    assert_same_outputs(model, fused, images)
    return fused, report


def assert_same_outputs(model, fused, images):
    expected = keras.tree.flatten(model(images, training=False))
    actual = keras.tree.flatten(fused(images, training=False))
    for before, after in zip(expected, actual, strict=True):
        before, after = np.asarray(before), np.asarray(after)
        assert np.isfinite(before).all()
        # float32 rounds the folded weights differently: the promised precision.
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-4 * before.std())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention_options": {"groups": 1}},
        {"attention_options": {"groups": 8}},
        {"attention_options": {"groups": 4, "shuffle": False}},
        {"attention_options": {"groups": 4, "pre_shuffled": False}},
        {"attention": None},
        {"include_top": False},
        {"stem": "imagenet", "blocks": (2, 2)},
    ],
    ids=str,
)
def test_the_logits_are_the_same(options):
    model = small_network(**{"classifier_activation": None, **options})
    randomize(model, variances=(-3, 3))
    fused, report = assert_equivalent(model)
    assert str(report).endswith(ALL)
    kinds = {type(layer) for layer in fused.layers}
    assert not kinds & {keras.layers.BatchNormalization, ShuffleAttention}


@pytest.mark.parametrize("part", AblatedShuffleAttention.PARTS)
def test_a_subclass_computes_what_it_computed(part):
    register_ablations()
    model = small_network(
        "sa_ablated",
        classifier_activation=None,
        attention_options={"groups": 4, "without": part},
    )
    _, report = assert_equivalent(randomize(model))
    assert "conv2_block1_attention" in report.unchanged


@pytest.mark.parametrize("attention", ["se", "cbam", "bam", "sge", "eca"])
def test_the_compared_attentions_stay_and_are_reported(attention):
    options = {"sge": {"groups": 4}}.get(attention, {})
    model = small_network(
        attention, classifier_activation=None, attention_options=options
    )
    fused, report = assert_equivalent(randomize(model))
    attentions = [layer.name for layer in model.layers if "attention" in layer.name]
    assert attentions and set(attentions) <= set(report.unchanged)
    # Their own batch norms, inside, are theirs.
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in fused.layers)


@pytest.mark.parametrize("inputs", [1, 10_000])
@pytest.mark.parametrize("channels", [1, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_sizes_choose_the_speed_alone(monkeypatch, inputs, channels):
    monkeypatch.setattr(rules, "MANY_INPUTS", inputs)
    monkeypatch.setattr(rules, "FEW_CHANNELS", channels)
    model = small_network(classifier_activation=None, blocks=(3, 2))
    assert_equivalent(randomize(model))


def test_gates_that_are_almost_zero():
    model = randomize(small_network(classifier_activation=None, blocks=(3, 2)))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, ShuffleAttention):
            # Beyond -88 the sigmoid's reciprocal is more than float32 can hold.
            bias = rng.choice([-200.0, -70.0, -20.0, 1.0], layer.channel_bias.shape)
            layer.channel_bias.assign(bias)
    assert_equivalent(model)


def test_images_of_one_colour():
    """Their maps hardly vary: the normalisation would magnify an error."""
    model = randomize(small_network(classifier_activation=None, blocks=(3, 2)))
    images = np.full((2, 32, 32, 3), [[[[300.0, 0.0, 2.0]]]], "float32")
    images[1] = 0
    for kind in KINDS:
        assert_same_outputs(model, fuse(model, **kind), images)


@pytest.mark.parametrize("portable", [True, False])
def test_halves_meet_at_the_end_alone(portable):
    """Joined and divided in every block, they would cost what fusing saves."""
    model = small_network()
    fused = fuse(model, portable=portable)
    kinds = Counter(type(layer).__name__ for layer in fused.layers)
    assert kinds["Concatenate"] == kinds["ReorderChannels"] == 1
    before = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert kinds["Add"] > len(before)


@pytest.mark.parametrize("strides, left", [(1, 0), (2, 1)])
def test_a_padding_around_a_convolution_without_a_stride_is_its_own(strides, left):
    inputs = keras.Input((8, 9, 3))
    x = keras.layers.ZeroPadding2D(1)(inputs)
    outputs = keras.layers.Conv2D(4, 3, strides=strides)(x)
    fused, _ = assert_equivalent(keras.Model(inputs, outputs), (2, 8, 9, 3))
    kinds = Counter(type(layer).__name__ for layer in fused.layers)
    assert kinds["ZeroPadding2D"] == left


def test_tensorflow_normalises_in_one_operation():
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        pytest.skip("needs oneDNN: set TF_ENABLE_ONEDNN_OPTS=1")
    model = randomize(small_network(classifier_activation=None, blocks=(2, 2)))
    fused = fuse(model, portable=False)
    signature = [tf.TensorSpec((None, 32, 32, 3), name="images")]
    function = tf.function(lambda x: fused(x), signature).get_concrete_function()
    # As in an export: the weights are constants.
    constant = convert_variables_to_constants_v2(function)
    kinds = Counter(node.op for node in optimized(constant).node)
    assert kinds["_MklFusedInstanceNorm"] == 4


def optimized(function):
    """The graph that TensorFlow runs."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        (output,) = tf.graph_util.import_graph_def(
            function.graph.as_graph_def(), return_elements=[function.outputs[0].name]
        )
        feed = {"import/images:0": np.zeros((1, 32, 32, 3), "float32")}
        options = v1.RunOptions(output_partition_graphs=True)
        metadata = v1.RunMetadata()
        session.run(output, feed, options=options, run_metadata=metadata)
    return metadata.partition_graphs[0]


def test_any_image_size():
    model = randomize(small_network(input_shape=(None, None, 3)))
    fused, _ = fuse(model, return_report=True)
    for size in ((8, 8), (32, 40), (37, 21)):
        images = np.random.default_rng(0).standard_normal((2, *size, 3))
        np.testing.assert_allclose(
            fused(images, training=False), model(images, training=False), atol=1e-5
        )


def test_nested_and_fine_tuned_models():
    base = randomize(small_network(include_top=False, pooling=None))
    base.trainable = False
    images = keras.Input((32, 32, 3), name="photos")
    x = keras.layers.Rescaling(2.0)(images)
    x = base(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(images, keras.layers.Dense(4)(x))
    fused, report = assert_equivalent(model)
    assert fused.inputs[0].name == "photos"
    assert len(report.gates) == 4
    stacked = keras.Sequential([keras.Input((32, 32, 3)), model, keras.layers.ReLU()])
    assert_equivalent(stacked)


@pytest.mark.parametrize(
    "change", [fuse, lambda model: with_precision(model, "float16")]
)
def test_an_adapted_normalization_keeps_its_statistics(change):
    images = np.random.default_rng(0).uniform(5, 9, (4, 8, 8, 3)).astype("float32")
    normalization = keras.layers.Normalization()
    normalization.adapt(images)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), normalization, keras.layers.GlobalAveragePooling2D()]
    )
    # float16 has three digits; without the statistics it is off by 6.
    np.testing.assert_allclose(change(model)(images), model(images), atol=2e-2)


ENDS = {
    "activation": keras.layers.Activation("softmax"),
    "sigmoid": keras.layers.Activation("sigmoid"),
    "operation": keras.ops.softmax,
    "reshape": keras.layers.Reshape((5, 1)),
    "two": lambda x: [keras.layers.ReLU()(x), keras.layers.Softmax()(x)],
}


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("end", ENDS)
def test_outputs_are_float32_whatever_the_end(end, precision):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu")(inputs)
    x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))
    model = with_precision(keras.Model(inputs, ENDS[end](x)), precision)
    assert model.layers[1].compute_dtype == precision
    outputs = keras.tree.flatten(model(np.ones((1, 8, 8, 3), "float32")))
    assert {output.dtype for output in outputs} == {tf.float32}


def test_a_base_that_is_used_twice_stays_right():
    base = randomize(small_network(include_top=False, pooling="avg"))
    images = keras.Input((32, 32, 3))
    flipped = keras.ops.flip(images, axis=2)
    model = keras.Model(images, keras.layers.Add()([base(images), base(flipped)]))
    assert_equivalent(model)


def test_what_is_not_known_stays_and_is_reported():
    images = keras.Input((16, 16, 16), name="images")
    normal = keras.layers.BatchNormalization(name="first_bn")(images)
    x = ShuffleAttention(groups=2, name="bare_attention")(normal)
    x = keras.layers.Conv2D(16, 3, activation="relu", name="activated")(x)
    x = keras.layers.BatchNormalization(name="after_relu_bn")(x)
    shared = keras.layers.Conv2D(16, 1, name="shared")(x)
    y = keras.layers.BatchNormalization(name="shared_bn")(shared)
    y = keras.layers.GroupNormalization(4, name="group_norm")(y)
    model = randomize(keras.Model(images, keras.layers.Add()([shared, y])))
    _, report = assert_equivalent(model, (2, 16, 16, 16))
    assert report.unchanged == [
        "first_bn",
        "bare_attention",
        "after_relu_bn",
        "shared_bn",
        "group_norm",
    ]


def test_maps_that_leave_the_network_have_their_channel_order():
    model = randomize(small_network())
    outputs = {
        name: model.get_layer(name).output
        for name in ("conv2_block1_attention", "conv3_block1_out", "predictions")
    }
    assert_equivalent(keras.Model(model.input, outputs))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_is_saved_and_loaded_and_shares_nothing(tmp_path, kind):
    model = randomize(small_network())
    before = [weight.numpy() for weight in model.weights]
    fused = fuse(model, **kind)
    fused.save(tmp_path / "fused.keras")
    loaded = keras.saving.load_model(tmp_path / "fused.keras")
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    np.testing.assert_array_equal(loaded(images), fused(images))
    for weight in fused.weights:
        weight.assign(keras.ops.zeros_like(weight))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_mixed_precision_keeps_float32_statistics():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = randomize(small_network())
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3))
    fused = fuse(model)
    assert fused.get_layer("conv2_block1_3_conv_channel").compute_dtype == "bfloat16"
    # bfloat16 has 8 bits: 1/256 of a step, over a dozen layers.
    np.testing.assert_allclose(fused(images), model(images, training=False), atol=0.05)


def test_whole_maps_in_float16_have_float32_statistics():
    gate = WholeGate(dtype="mixed_float16", data_format="channels_last")
    exact = WholeGate(dtype="float64", data_format="channels_last")
    # The squares of these deviations are more than float16 can hold.
    maps = 300 * np.random.default_rng(0).standard_normal((2, 7, 7, 8))
    maps = maps.astype("float16")
    gate.build(maps.shape)
    exact.build(maps.shape)
    weights = np.random.default_rng(1).standard_normal((3, 8))
    gate.set_weights(weights)
    exact.set_weights(gate.get_weights())
    np.testing.assert_allclose(
        gate(maps), exact(maps.astype("float64")), rtol=2e-2, atol=0.5
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_channels_first(kind):
    keras.config.set_image_data_format("channels_first")
    model = randomize(small_network(input_shape=(3, 32, 32)))
    images = np.random.default_rng(0).standard_normal((2, 3, 32, 32))
    expected = model.predict(images, verbose=0)
    # In a graph: called directly, some convolutions of TensorFlow are wrong.
    actual = fuse(model, **kind).predict(images, verbose=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * expected.std())


def test_a_layer_that_its_first_call_builds_stays_as_it_is():
    class Custom(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.convolution = keras.layers.Conv2D(4, 3)

        def call(self, inputs):
            return self.convolution(inputs)

    images = keras.Input((8, 8, 3))
    model = keras.Model(images, Custom(name="custom")(images))
    _, report = assert_equivalent(model, (2, 8, 8, 3))
    assert report.unchanged == ["custom"]


def test_a_layer_without_a_config_is_named():
    class Custom(keras.Model):
        def __init__(self, units):
            super().__init__(name="custom")
            self.convolution = keras.layers.Conv2D(units, 1)

        def call(self, inputs):
            return self.convolution(inputs)

    images = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="'custom' can't be copied.*fused=False"):
        fuse(keras.Model(images, Custom(4)(images)))


def test_subclassed_models_are_refused():
    class Custom(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="must be a functional model"):
        fuse(Custom())


ARGUMENTS = {"RandomPosterization": (3,), "RandomTranslation": (0.5, 0.5)}


@pytest.mark.parametrize("kind", IDLE, ids=lambda kind: kind.__name__)
def test_what_does_nothing_in_inference_is_left_out(kind):
    needed = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
        and parameter.default is parameter.empty
    ]
    layer = kind(*ARGUMENTS.get(kind.__name__, (0.5,) * len(needed)))
    images = np.random.default_rng(0).uniform(0, 255, (2, 6, 8, 3)).astype("float32")
    np.testing.assert_array_equal(layer(images, training=False), images)
    inputs = keras.Input((6, 8, 3))
    x = keras.layers.Conv2D(4, 1)(layer(inputs))
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(x))
    model = keras.Model(inputs, x)
    fused = fuse(model)
    # The batch norm is folded through the dropout.
    assert [type(each).__name__ for each in fused.layers] == ["InputLayer", "Conv2D"]
    expected = model(images, training=False)
    np.testing.assert_allclose(fused(images), expected, rtol=1e-4, atol=1e-3)


def test_what_changes_the_type_or_size_in_inference_stays():
    inputs = keras.Input((6, 8, 3), dtype="uint8")
    x = keras.layers.RandomCrop(4, 4)(keras.layers.RandomFlip()(inputs))
    fused = fuse(keras.Model(inputs, x))
    kinds = [type(layer).__name__ for layer in fused.layers]
    assert kinds == ["InputLayer", "RandomFlip", "RandomCrop"]
