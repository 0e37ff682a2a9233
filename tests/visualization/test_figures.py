"""Figures show what they were given and need no display."""

import keras
import numpy as np
import pytest
from needed import needed

from keras_sa.visualization import TensorBoardPictures
from keras_sa.visualization import displayable
from keras_sa.visualization import explain
from keras_sa.visualization import explanation_figure
from keras_sa.visualization import grad_cam
from keras_sa.visualization import overlay
from keras_sa.visualization.canvas import figure_pixels


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


@pytest.fixture(scope="module")
def explanation(network, images):
    return explain(network, images[0])


def test_displayable_keeps_bytes_and_stretches_the_rest():
    grey = np.array([[[[64], [128]]]], "uint8")
    np.testing.assert_allclose(displayable(grey)[0, 0, :, 1] * 255, [64, 128])
    normalised = np.array([[[[-2.0], [2.0]]]])
    np.testing.assert_array_equal(displayable(normalised)[0, 0, :, 2], [0, 1])
    np.testing.assert_array_equal(displayable(np.full((1, 2, 2, 3), 7.0)), 0)
    first = displayable(np.zeros((1, 3, 4, 5)), "channels_first")
    assert first.shape == (1, 4, 5, 3)
    with pytest.raises(ValueError, match=r"one or three channels.*\(1, 4, 4, 2\)"):
        displayable(np.zeros((1, 4, 4, 2)))


def test_overlay_mixes_image_and_colours():
    images = np.full((1, 2, 2, 3), 100, "uint8")
    maps = np.array([[[0.0, 1.0], [0.5, 0.5]]])
    np.testing.assert_array_equal(overlay(images, maps, strength=0.0), images)
    only = overlay(images, maps, strength=1.0)
    # From black to pale yellow.
    assert only[0, 0, 0].max() < 10
    assert only[0, 0, 1].min() > 150
    assert only[0, 0, 0].mean() < only[0, 1, 0].mean() < only[0, 0, 1].mean()
    with pytest.raises(ValueError, match="same number, height and width"):
        overlay(images, maps[:, :1])


def test_an_explanation_holds_what_the_functions_find(network, images, explanation):
    scores = keras.ops.softmax(network(images[:1])).numpy()[0]
    best = np.argsort(-scores)[:3]
    assert explanation.classes.tolist() == best.tolist()
    np.testing.assert_allclose(explanation.scores, scores[best], atol=1e-5)
    for index, found in zip(best, explanation.maps, strict=True):
        expected = grad_cam(network, images[:1], int(index))[0]
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert list(explanation.gates) == [
        "conv2_block1_attention",
        "conv3_block1_attention",
    ]
    assert explanation.groups.scores.shape == (1, 64)


def test_an_explanation_is_drawn(explanation, tmp_path):
    figure = explanation_figure(explanation, list("abcdefghij"), "photo.png")
    first = "abcdefghij"[explanation.classes[0]]
    assert titles(figure)[:2] == ["image", f"{first} {explanation.scores[0]:.1%}"]
    assert any(each.startswith("gates conv2_block1\n0.") for each in titles(figure))
    assert figure.get_suptitle() == "photo.png"
    pixels = figure_pixels(figure, dpi=50)
    assert pixels.shape == (330, 380, 3)
    assert pixels.std() > 10
    figure.savefig(tmp_path / "explanation.png")


def test_a_network_without_attention_is_explained(trained, spots):
    explanation = explain(trained, spots[0][0], top=5)
    assert explanation.gates == {}
    assert len(explanation.classes) == 2
    # The last layer has 32 channels.
    assert explanation.groups.scores.shape == (1, 32)
    explanation_figure(explanation)


def test_bad_arguments_are_refused(network, images, tmp_path):
    with pytest.raises(ValueError, match="top=0"):
        explain(network, images[0], top=0)
    with pytest.raises(ValueError, match="rank 3"):
        explain(network, images)
    needed("tensorboard")
    with pytest.raises(ValueError, match="every=0"):
        TensorBoardPictures(tmp_path, images, every=0)


def test_missing_class_names_are_told_at_the_start(trained, spots, tmp_path):
    with pytest.raises(ValueError, match="at least 2. Received: 1 names"):
        explanation_figure(explain(trained, spots[0][0]), ["a"])
    needed("tensorboard")
    pictures = TensorBoardPictures(tmp_path, spots[0][:1], ["a"])
    pictures.set_model(trained)
    with pytest.raises(ValueError, match="at least 2. Received: 1 names"):
        pictures.on_train_begin()


def test_pictures_are_written_during_training(trained, spots, tmp_path):
    needed("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    images, labels, _ = (part[:8] for part in spots)
    pictures = TensorBoardPictures(tmp_path, images[:1], ["a", "b"], every=2)
    silent = TensorBoardPictures(tmp_path / "worker", images[:1], write=False)
    model = keras.models.clone_model(trained)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=4, callbacks=[pictures, silent], verbose=0)
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    written = events.Tensors("explanation/0")
    assert [event.step for event in written] == [2, 4]
    assert written[0].tensor_proto.string_val[2].startswith(b"\x89PNG")
    assert not (tmp_path / "worker").exists()


def test_a_notebook_shows_a_figure_by_itself(explanation):
    # What IPython asks an object for; pyplot, which would do it, is not imported.
    figure = explanation_figure(explanation)
    assert figure._repr_png_().startswith(b"\x89PNG")
