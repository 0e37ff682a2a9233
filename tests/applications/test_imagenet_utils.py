"""Normalisation and class names behave as in keras.applications, also offline."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.applications.sa_resnet import decode_predictions
from keras_sa.applications.sa_resnet import preprocess_input

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), "uint8")


def expected(images):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return (images / 255 - mean) / std


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("convert", [np.asarray, tf.constant])
def test_normalises_every_type(dtype, convert):
    images = IMAGES.astype(dtype)
    outputs = preprocess_input(convert(images))
    kept = dtype if dtype.startswith("float") else "float32"
    assert keras.backend.standardize_dtype(outputs.dtype) == kept
    np.testing.assert_allclose(outputs, expected(IMAGES), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(images, IMAGES)  # not changed in place


def test_equals_keras_torch_mode():
    theirs = keras.applications.imagenet_utils.preprocess_input(
        IMAGES.astype("float32"), data_format="channels_last", mode="torch"
    )
    np.testing.assert_allclose(preprocess_input(IMAGES), theirs, rtol=1e-5, atol=1e-5)


def test_channels_first_and_single_images():
    first = np.moveaxis(IMAGES, -1, 1)
    outputs = preprocess_input(first, data_format="channels_first")
    np.testing.assert_allclose(np.moveaxis(outputs, 1, -1), preprocess_input(IMAGES))
    single = preprocess_input(first[0], data_format="channels_first")
    np.testing.assert_allclose(single, outputs[0])


def test_runs_in_a_data_pipeline():
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(2).map(preprocess_input)
    np.testing.assert_allclose(next(iter(data)), preprocess_input(IMAGES), rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 4, 1), (2, 3, 5, 4), (4, 3), (1, 2, 5, 4, 3)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="three channels.*Received: shape="):
        preprocess_input(np.zeros(shape))
    with pytest.raises(ValueError, match="Received: data_format='nchw'"):
        preprocess_input(np.zeros(shape), data_format="nchw")


def test_decodes_with_given_names():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    decoded = decode_predictions(scores, top=2, class_names=["cat", "dog", "owl"])
    assert decoded == [
        [(1, "dog", 0.7), (2, "owl", 0.2)],
        [(0, "cat", 0.5), (2, "owl", 0.3)],
    ]


def test_top_is_at_most_all_classes():
    decoded = decode_predictions(np.eye(2), top=5, class_names=["cat", "dog"])
    assert [len(image) for image in decoded] == [2, 2]


def test_scores_that_do_not_fit_the_names_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, 1000\).*Received: shape=\(1, 10\)"):
        decode_predictions(np.ones((1, 10)))
    with pytest.raises(ValueError, match=r"\(batch, 2\).*Received: shape=\(1, 10\)"):
        decode_predictions(np.ones((1, 10)), class_names=["cat", "dog"])
    with pytest.raises(ValueError, match="`top` must be at least 1"):
        decode_predictions(np.ones((1, 2)), top=0, class_names=["cat", "dog"])


def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    def fails(*args, **kwargs):
        raise Exception("URL fetch failure on https://example.org: None")

    module = keras.applications.imagenet_utils
    monkeypatch.setattr(module, "decode_predictions", fails)
    with pytest.raises(ConnectionError, match="imagenet_class_index.json"):
        decode_predictions(np.ones((1, 1000)))
