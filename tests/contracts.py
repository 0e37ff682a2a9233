"""Checks that every attention layer has to pass."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest


def check_attention_layer(make_layer, channels):
    """Runs the whole contract of an attention layer.

    Args:
        make_layer: Makes a new layer; takes the base layer's keyword arguments.
        channels: A channel count that the layer accepts.
    """
    check_shapes(make_layer, channels)
    check_data_formats(make_layer, channels)
    check_dtype_policies(make_layer, channels)
    check_round_trips(make_layer, channels)
    check_input_errors(make_layer, channels)


def randomize(layer, seed=0):
    """Gives every weight a random value, so that no part of the layer is idle."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        value = rng.standard_normal(weight.shape)
        weight.assign(abs(value) + 0.5 if "variance" in weight.path else value)


def maps(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def check_shapes(make_layer, channels):
    """The output has the input's shape, known or not."""
    for shape in [(2, 5, 7, channels), (None, None, None, channels)]:
        assert make_layer().compute_output_shape(shape) == shape
        assert make_layer()(keras.KerasTensor(shape)).shape == shape
    inputs = keras.Input((None, None, channels))
    model = keras.Model(inputs, make_layer()(inputs))
    for shape in [(1, 1, 1, channels), (3, 4, 9, channels)]:
        outputs = model.predict(maps(*shape), verbose=0)
        assert outputs.shape == shape
        assert np.isfinite(outputs).all()


def check_data_formats(make_layer, channels):
    """channels_first computes the same as channels_last on transposed maps."""
    x = maps(2, 6, 5, channels)
    last = make_layer(data_format="channels_last")
    first = make_layer(data_format="channels_first")
    last.build(x.shape)
    first.build((2, channels, 6, 5))
    randomize(last)
    first.set_weights(last.get_weights())
    expected = np.moveaxis(keras.ops.convert_to_numpy(last(x)), -1, 1)
    outputs = keras.ops.convert_to_numpy(first(np.moveaxis(x, -1, 1)))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="Received: data_format='nhwc'"):
        make_layer(data_format="nhwc")


def check_dtype_policies(make_layer, channels):
    """Half-precision policies keep float32 weights and come near float32."""
    x = maps(2, 6, 5, channels)
    reference = make_layer()
    reference.build(x.shape)
    randomize(reference)
    expected = keras.ops.convert_to_numpy(reference(x))
    for policy, tolerance in [("mixed_float16", 4e-3), ("mixed_bfloat16", 4e-2)]:
        layer = make_layer(dtype=policy)
        compute_dtype = layer.compute_dtype
        outputs = layer(keras.ops.cast(x, compute_dtype))
        layer.set_weights(reference.get_weights())
        outputs = layer(keras.ops.cast(x, compute_dtype))
        assert keras.backend.standardize_dtype(outputs.dtype) == compute_dtype
        assert all(weight.dtype == "float32" for weight in layer.weights)
        outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
        scale = abs(expected).max()
        np.testing.assert_allclose(outputs, expected, atol=tolerance * scale)


def check_round_trips(make_layer, channels):
    """Config and file give back a layer that computes the same."""
    layer = make_layer(name="attention")
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()

    inputs = keras.Input((None, None, channels))
    model = keras.Model(inputs, layer(inputs))
    randomize(layer)
    x = maps(2, 3, 4, channels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def check_input_errors(make_layer, channels):
    """A wrong rank and an unknown channel count are refused with what came."""
    with pytest.raises(ValueError, match="rank 4.*Received: input_shape="):
        make_layer().build((2, 5, channels))
    with pytest.raises(ValueError, match="number of channels.*Received: input_shape="):
        make_layer().build((2, 5, 5, None))
