"""The pictures of results show what they were given."""

import numpy as np
import pytest

from keras_sa.visualization import confusion_matrix_figure
from keras_sa.visualization import predictions_figure


def texts(axes):
    return {
        (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text()
        for t in axes.texts
    }


def test_confusion_matrix_counts_true_by_predicted():
    figure = confusion_matrix_figure([0, 0, 1, 2], [0, 1, 1, 2], ["a", "b", "c"])
    axes = figure.axes[0]
    assert texts(axes) == {(0, 0): "1", (0, 1): "1", (1, 1): "1", (2, 2): "1"}
    assert axes.get_title() == "accuracy 75.00% of 4 images"


def test_a_class_without_images_is_drawn(tmp_path):
    figure = confusion_matrix_figure([0], [0], ["a", "b"])
    figure.savefig(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").stat().st_size > 1000


def test_predictions_name_the_mistakes():
    images = [np.zeros((8, 8, 3)), np.full((9, 7, 1), 255)]
    figure = predictions_figure(images, ["a", "b"], ["a", "c"], [0.9, 0.6])
    # As wide as the images need.
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["a (90%)", "c (60%)\nis b"]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        confusion_matrix_figure([0, 1], [0, 1, 1], ["a", "b"])
    with pytest.raises(ValueError, match=r"`labels` .* 0..1.*numbers in 0..2"):
        confusion_matrix_figure([0, 2], [0, 1], ["a", "b"])
    with pytest.raises(ValueError, match=r"`predictions` .* numbers in -1..0"):
        confusion_matrix_figure([0, 1], [0, -1], ["a", "b"])
    with pytest.raises(ValueError, match="at least one image"):
        predictions_figure([], [], [], [])
