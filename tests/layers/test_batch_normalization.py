"""Batch norm and shuffle attention run as one, and compute what the two compute."""

import contracts
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.layers import BatchNormalization
from keras_sa.layers import ShuffleAttention
from keras_sa.layers.normalized_maps import left_on
from keras_sa.study.ablations import AblatedShuffleAttention


def pair(kind, shape, axis=-1, attention=ShuffleAttention, norm_options=None, **kwargs):
    """A batch norm of that class and an attention, with random weights."""
    dtype = kwargs.get("dtype")
    norm = kind(
        axis=axis, momentum=0.9, epsilon=1e-5, dtype=dtype, **(norm_options or {})
    )
    data_format = "channels_last" if axis in (-1, 3) else "channels_first"
    attend = attention(data_format=data_format, **kwargs)
    for layer in (norm, attend):
        layer.build(shape)
        contracts.randomize(layer)
    norm.moving_variance.assign(1 + np.square(norm.moving_variance.numpy()))
    return norm, attend


def step(layers, x, upstream, training=True):
    """Output, all gradients and the moving statistics of a training step in a graph."""
    norm, attend = layers
    weights = norm.trainable_weights + attend.trainable_weights

    @tf.function
    def function(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            normalized = norm(x, training=training)
            outputs = attend(normalized, training=training)
        gradients = tape.gradient(outputs, [x, *weights], upstream)
        return outputs, gradients, left_on(normalized) is not None

    outputs, gradients, shared = function(x, upstream)
    assert bool(shared) == (isinstance(norm, BatchNormalization) and training)
    return [
        np.asarray(value, "float64")
        for value in (outputs, *gradients, norm.moving_mean, norm.moving_variance)
    ]


def compare(x, tolerance, axis=-1, training=True, dtype="float32", **kwargs):
    """The pair in one precision against Keras' batch norm and the gate in float64."""
    upstream = contracts.maps(*x.shape) - 0.3
    x, upstream = (tf.cast(v, dtype.removeprefix("mixed_")) for v in (x, upstream))
    kinds = {BatchNormalization: dtype, keras.layers.BatchNormalization: "float64"}
    ours, theirs = (
        pair(kind, x.shape, axis, dtype=policy, **kwargs)
        for kind, policy in kinds.items()
    )
    for mine, other in zip(ours, theirs, strict=True):
        other.set_weights(mine.get_weights())
    found = step(ours, x, upstream, training)
    x, upstream = (tf.cast(v, "float64") for v in (x, upstream))
    expected = step(theirs, x, upstream, training)
    for ours, theirs in zip(found, expected, strict=True):
        scale = max(1, np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


SHAPES = [(3, 5, 7, 24), (6, 1, 1, 24), (1, 4, 4, 24)]


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [-1, 1])
def test_equals_the_two_layers(shape, axis, dtype, tolerance):
    x = contracts.maps(*shape) * 2 + 1
    if axis == 1:
        x = np.moveaxis(x, -1, 1)
    compare(x, tolerance, axis, groups=3, dtype=dtype)


@pytest.mark.parametrize(
    "options",
    [{"shuffle": False}, {"pre_shuffled": True}]
    + [{"norm_options": {"scale": False, "center": False}}],
)
def test_equals_the_two_layers_with_other_options(options):
    compare(contracts.maps(3, 4, 5, 24), 1e-5, groups=3, **options)


@pytest.mark.parametrize("part", AblatedShuffleAttention.PARTS)
def test_equals_the_two_layers_without_a_part(part):
    x = contracts.maps(3, 4, 5, 24)
    compare(x, 1e-5, groups=3, attention=AblatedShuffleAttention, without=part)


def test_equals_the_two_layers_in_inference():
    compare(contracts.maps(3, 4, 5, 24), 1e-5, groups=3, training=False)


def test_frozen_batch_norm_takes_the_moving_statistics():
    x = contracts.maps(3, 4, 5, 24)
    compare(x, 1e-5, groups=3, norm_options={"trainable": False})


def test_channels_that_the_batch_norm_has_closed():
    initial = {"gamma_initializer": "zeros"}
    compare(contracts.maps(3, 4, 5, 24), 1e-5, groups=3, norm_options=initial)


@pytest.mark.parametrize("mean", [30, 1000])
def test_large_means_cancel_nothing(mean):
    # The inputs' own float32 mean is good to 1e-7 of its size.
    compare(contracts.maps(4, 6, 6, 24) + mean, 1e-5 + 1e-6 * mean, groups=3)


@pytest.mark.parametrize("value", [0.0, 3.0, 1000.0])
def test_constant_maps(value):
    compare(np.full((2, 4, 4, 24), value), 1e-5, groups=3)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_its_statistics_in_float32(dtype):
    # The sum of a map is out of float16's range.
    compare(contracts.maps(2, 32, 32, 8) * 5 + 100, 2e-2, groups=2, dtype=dtype)


def test_others_may_use_what_lies_between():
    x = tf.constant(contracts.maps(2, 4, 4, 24), "float32")
    results = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        norm, attend = pair(kind, x.shape, groups=3)
        with tf.GradientTape() as tape:
            tape.watch(x)
            between = norm(x, training=True)
            outputs = attend(between, training=True) + 2 * tf.square(between)
        results.append(tape.gradient(outputs, [x, norm.gamma.value]))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def network(kind):
    norm = kind(momentum=0.9)
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(8, 3),
            norm,
            ShuffleAttention(groups=2),
        ]
    )


def test_the_output_of_the_batch_norm_is_not_computed():
    model = network(BatchNormalization)
    step = tf.function(lambda x: model(x, training=True))
    images = tf.zeros((2, 6, 6, 3))
    graph = step.get_concrete_function(images).graph
    gates = [o.type for o in graph.get_operations()].count("SoftplusGrad")
    assert gates == 1
    outputs = step.get_concrete_function(images).structured_outputs
    seen, pending = set(), [outputs.op]
    while pending:
        operation = pending.pop()
        if operation.name not in seen:
            seen.add(operation.name)
            pending += [tensor.op for tensor in operation.inputs]
    norm = model.layers[1].name
    maps = [name for name in seen if f"/{norm}" in name]
    assert not any("BiasAdd" in name or "batchnorm" in name for name in maps)


@pytest.mark.parametrize("ending", ["model.weights.h5", "model.keras"])
def test_loads_the_files_of_keras_batch_norms_and_the_other_way(ending, tmp_path):
    kinds = (BatchNormalization, keras.layers.BatchNormalization)
    for source, target in (kinds, kinds[::-1]):
        saved, loaded = network(source), network(target)
        contracts.randomize(saved)
        path = tmp_path / f"{source.__module__}.{ending}"
        if ending == "model.keras":
            saved.save(path)
            read = keras.models.load_model(path)
            assert type(read.layers[1]) is source
        else:
            saved.save_weights(path)
        loaded.load_weights(path)
        for ours, theirs in zip(loaded.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    clone = keras.models.clone_model(saved)
    assert type(clone.layers[1]) is type(saved.layers[1])
