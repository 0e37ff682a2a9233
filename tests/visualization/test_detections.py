"""Pictures of objects show them where they are."""

import numpy as np
import pytest
from needed import needed

from keras_sa.visualization import annotated_and_found_figure
from keras_sa.visualization import detections_figure
from keras_sa.visualization.canvas import figure_pixels

needed("matplotlib")
IMAGE = np.zeros((40, 80, 3), "uint8")
BOXES = np.array([[10.0, 10, 30, 30], [50, 5, 76, 35]])


def pixels(**options):
    figure = detections_figure(IMAGE, BOXES, [0, 1], ["disc", "square"], **options)
    return figure, figure_pixels(figure)


def test_masks_and_boxes_are_drawn():
    mask = np.zeros((40, 80), "uint8")
    mask[12:28, 12:28] = 1
    figure, plain = pixels(scores=[0.9, 0.5])
    # The surest one is drawn last, over the others.
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["square 50%", "disc 90%"]
    _, masked = pixels(masks=[mask, np.zeros((40, 80))], scores=[0.9, 0.5])
    changed = np.argwhere((plain != masked).any(-1))
    low, high = changed.min(0) / plain.shape[:2], changed.max(0) / plain.shape[:2]
    # The mask lies in the left half and nowhere else.
    assert (low > 0.1).all() and high[1] < 0.45
    assert len(changed) > 500


def test_pictures_without_objects_and_files(tmp_path):
    figure = detections_figure(IMAGE, np.zeros((0, 4)), [], ["disc"])
    figure.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 500
    with pytest.raises(ValueError, match=r"lengths \[2, 1\]"):
        detections_figure(IMAGE, BOXES, [0], ["disc"])


def test_what_is_annotated_stands_beside_what_is_found():
    annotated = {"boxes": BOXES, "classes": [0, 1], "crowds": [False, True]}
    found = {"boxes": BOXES[:1], "classes": [1], "scores": [0.75]}
    tall = np.zeros((80, 40, 3), "uint8")
    nothing = {"boxes": np.zeros((0, 4)), "classes": []}
    images = [IMAGE, tall, IMAGE]
    figure = annotated_and_found_figure(
        images, [annotated, nothing, nothing], [found] * 3, ["disc", "square"]
    )
    assert [axes.get_title() for axes in figure.axes] == [
        *("2 annotated", "1 found", "0 annotated", "1 found"),
        *("0 annotated", "1 found"),
    ]
    left, right = figure.axes[:2]
    assert [text.get_text() for text in left.texts] == ["disc", "group: square"]
    assert [box.get_linestyle() for box in left.patches] == ["-", "--"]
    assert [text.get_text() for text in right.texts] == ["square 75%"]
    figure_pixels(figure)
    with pytest.raises(ValueError, match=r"lengths \[3, 1, 1\]"):
        annotated_and_found_figure(images, [annotated], [found], ["disc"])
    with pytest.raises(ValueError, match=r"lengths \[0, 0, 0\]"):
        annotated_and_found_figure([], [], [], ["disc"])


def test_a_label_stays_inside_of_the_image():
    figure = detections_figure(
        IMAGE, np.array([[0, 0, 9, 9], [0, 20, 9, 30]]), [0, 0], ["a"]
    )
    assert [text.get_va() for text in figure.axes[0].texts] == ["top", "bottom"]
