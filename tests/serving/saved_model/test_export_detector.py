"""Exported detectors answer like the model, for files and for images."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from camera_photos import camera_photo
from detection_samples import tiny_backbone
from detection_samples import tiny_detector
from needed import needed
from serving_samples import image_file
from serving_samples import photo

from keras_sa.applications import SAMaskRCNN
from keras_sa.serving import export_detector
from keras_sa.serving import write_warmup
from keras_sa.utils.normalization import IMAGENET_MEAN
from keras_sa.utils.normalization import IMAGENET_STD
from keras_sa.utils.resize_within import padded_size
from keras_sa.utils.resize_within import resize_within

LABELS = ["disc", "square", "triangle"]


def normalized(images):
    return (np.asarray(images, "float32") / 255 - IMAGENET_MEAN) / IMAGENET_STD


@pytest.fixture(scope="module")
def model():
    # Untrained, so that every image has detections, some of them in its padding. The
    # tests' own seed is set after fixtures of a module.
    keras.utils.set_random_seed(2)
    return tiny_detector(SAMaskRCNN, max_detections=5, test_proposals=20)


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    # The long side is no multiple of 32, as the published 1333 is none.
    path = export_detector(model, directory, labels=LABELS, sides=(64, 90))
    assert path == directory / "1" and (path / "saved_model.pb").is_file()
    return tf.saved_model.load(path)


def call(served, name, value):
    (argument,) = served.signatures[name].structured_input_signature[1]
    outputs = served.signatures[name](**{argument: tf.constant(value)})
    return {name: value.numpy() for name, value in outputs.items()}


def predicted(model, images):
    outputs = model.predict_step((tf.constant(images, tf.float32),))
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.parametrize("name, dtype", [("", "float32"), ("_uint8", "uint8")])
def test_images_of_any_size_give_the_models_detections(model, served, name, dtype):
    images = np.stack([photo(50, 70, seed=i) for i in range(2)])
    found = call(served, f"predict_images{name}", images.astype(dtype))
    expected = predicted(model, normalized(images))
    assert expected["count"].min() > 0
    for key, value in expected.items():
        # Another order of the same operations: pixels and probabilities.
        np.testing.assert_allclose(found[key], value, atol=1e-2, err_msg=key)
    assert found["valid"].all()
    names = np.array([b"", *map(str.encode, LABELS)], object)
    np.testing.assert_array_equal(found["labels"], names[found["classes"] + 1])


@pytest.mark.parametrize(
    "sizes", [((100, 150), (90, 60)), ((10, 300), (12, 300))], ids=str
)
def test_files_are_resized_and_boxes_are_in_their_pixels(sizes, model, served):
    first, second = (photo(*size, seed=i) for i, size in enumerate(sizes))
    files = [image_file(first), b"no image", image_file(second)]
    found = call(served, "serving_default", files)
    assert list(found["valid"]) == [True, False, True]
    for row, pixels in ((0, first), (2, second)):
        resized = resize_within(tf.constant(pixels), 64, 90)
        height, width = resized.shape[:2]
        # As in training.
        padded = np.zeros((1, *padded_size(np.array([height, width])), 3), "float32")
        padded[0, :height, :width] = normalized(resized)
        expected = predicted(model, padded)
        boxes = np.clip(expected["boxes"][0], 0, [width, height] * 2)
        # What is in the padding alone is left out.
        kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        count = kept.sum()
        assert found["count"][row] == count
        boxes *= np.array([pixels.shape[1] / width, pixels.shape[0] / height] * 2)
        np.testing.assert_allclose(found["boxes"][row, :count], boxes[kept], atol=1e-2)
        for key in ("scores", "classes", "masks"):
            expected_rows = expected[key][0][kept]
            np.testing.assert_allclose(
                found[key][row, :count], expected_rows, atol=1e-3
            )
        assert (found["classes"][row, count:] == -1).all()
        for key in ("boxes", "scores", "masks"):
            assert not found[key][row, count:].any()
    assert found["count"].sum() > 0
    assert found["count"][1] == 0 and (found["classes"][1] == -1).all()
    assert not found["boxes"][1].any() and not found["scores"][1].any()


def test_an_answer_does_not_depend_on_who_else_asks(served):
    sizes = (70, 60), (40, 200), (64, 90), (200, 40)
    files = [image_file(photo(*size, seed=i)) for i, size in enumerate(sizes)]
    alone = [call(served, "serving_default", [file]) for file in files]
    assert all(found["count"] > 0 for found in alone)
    for order in ([0, 1, 2, 3], [3, 0], [2, 1, 0]):
        together = call(served, "predict_bytes", [files[i] for i in order])
        for row, number in enumerate(order):
            for key, value in alone[number].items():
                np.testing.assert_array_equal(together[key][row], value[0], err_msg=key)


def test_decoded_images_do_not_depend_on_each_other(served):
    images = np.stack([photo(50, 70, seed=i) for i in range(3)])
    together = call(served, "predict_images_uint8", images)
    for row, image in enumerate(images):
        alone = call(served, "predict_images_uint8", image[np.newaxis])
        for key, value in alone.items():
            np.testing.assert_array_equal(together[key][row], value[0], err_msg=key)


@pytest.mark.parametrize("orientation", [pytest.param(3, marks=pytest.mark.slow), 6])
def test_boxes_are_in_the_picture_that_a_person_sees(orientation, served):
    pixels = photo(60, 100)
    turned = camera_photo(pixels, orientation, "PNG")
    found = call(served, "predict_bytes", [image_file(pixels), turned])
    assert found["count"][0] > 0
    for key, value in found.items():
        np.testing.assert_array_equal(value[1], value[0], err_msg=key)


@pytest.mark.parametrize("files", [[], [b""]])
def test_nothing_to_see_is_no_error(served, files):
    found = call(served, "predict_bytes", np.array(files, object).astype("S"))
    assert found["boxes"].shape == (len(files), 5, 4)
    assert not found["valid"].any() and not found["count"].any()


def test_an_empty_batch_of_images_gives_an_empty_answer(served):
    found = call(served, "predict_images", np.zeros((0, 40, 50, 3), "float32"))
    assert found["masks"].shape == (0, 5, 28, 28)


@pytest.mark.slow
def test_the_classifiers_server_files_fit(served, model, tmp_path):
    logs = needed("tensorflow_serving.apis.prediction_log_pb2")
    path = write_warmup(export_detector(model, tmp_path / "shapes", sides=(64, 90)))
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "shapes"
        (files,) = request.inputs.values()
        signature = request.model_spec.signature_name
        assert call(served, signature, list(files.string_val))["valid"].all()


def test_what_cannot_be_served_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="Received: 2 labels"):
        export_detector(model, tmp_path, labels=LABELS[:2])
    with pytest.raises(ValueError, match="Received: sides=\\(96, 64\\)"):
        export_detector(model, tmp_path, sides=(96, 64))
    with pytest.raises(ValueError, match="must be a detector"):
        export_detector(tiny_backbone(), tmp_path)
    assert not list(tmp_path.iterdir())
