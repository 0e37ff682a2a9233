"""RoIAlign against its definition."""

import numpy as np
import pytest
import tensorflow as tf

from keras_sa.detection.mask_targets import mask_targets
from keras_sa.detection.roi_align import box_levels
from keras_sa.detection.roi_align import pyramid_roi_align
from keras_sa.detection.roi_align import roi_align

# Coordinates and values are of order 10 and 1 in float32.
TOLERANCE = 1e-4


def bilinear(features, y, x):
    """One sample as RoIAlign defines it, float64."""
    height, width, _ = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(features.shape[-1])
    y, x = max(y, 0), max(x, 0)
    low_y, low_x = min(int(y), height - 1), min(int(x), width - 1)
    high_y, high_x = min(low_y + 1, height - 1), min(low_x + 1, width - 1)
    dy = y - low_y if high_y > low_y else 0.0
    dx = x - low_x if high_x > low_x else 0.0
    return (
        (1 - dy) * (1 - dx) * features[low_y, low_x]
        + (1 - dy) * dx * features[low_y, high_x]
        + dy * (1 - dx) * features[high_y, low_x]
        + dy * dx * features[high_y, high_x]
    )


def defined_roi_align(features, boxes, images, stride, size, samples=2):
    """RoIAlign as it is defined, cell by cell."""
    features = features.astype("float64")
    result = np.zeros((len(boxes), size, size, features.shape[-1]))
    for n, (box, image) in enumerate(zip(boxes, images, strict=True)):
        x1, y1, x2, y2 = box.astype("float64") / stride - 0.5
        for i, j in np.ndindex(size, size):
            for k, m in np.ndindex(samples, samples):
                y = y1 + (i + (k + 0.5) / samples) * (y2 - y1) / size
                x = x1 + (j + (m + 0.5) / samples) * (x2 - x1) / size
                result[n, i, j] += bilinear(features[image], y, x) / samples**2
    return result


@pytest.fixture(scope="module")
def maps():
    return np.random.default_rng(0).normal(size=(2, 9, 12, 3)).astype("float32")


BOXES = np.array(
    [
        [8, 8, 24, 24],
        [0, 0, 48, 36],
        [3.3, 5.1, 9.7, 30.2],
        # Over each border, and outside of the image.
        [-3, -2, 11, 9],
        [30, 20, 52, 44],
        [-30, 4, -20, 12],
        [40, 30, 48, 36],
        [11, 11, 11.5, 11.5],
        [7, 7, 7, 7],
    ],
    "float32",
)
IMAGES = np.arange(len(BOXES)) % 2


@pytest.mark.parametrize("size", [1, 7])
def test_equals_the_definition_inside_and_at_borders(maps, size):
    expected = defined_roi_align(maps, BOXES, IMAGES, 4, size)
    outputs = roi_align(maps, BOXES, IMAGES, 4, size).numpy()
    np.testing.assert_allclose(outputs, expected, atol=TOLERANCE)


def test_gradient_equals_the_definitions(maps):
    # The output is linear in the map, so differences of any width are exact.
    cotangent = np.random.default_rng(1).normal(size=(len(BOXES), 3, 3, 3))
    features = tf.Variable(maps)
    with tf.GradientTape() as tape:
        outputs = roi_align(features, BOXES, IMAGES, 4, 3)
        loss = tf.reduce_sum(outputs * cotangent.astype("float32"))
    gradient = tape.gradient(loss, features).numpy()
    base = np.zeros_like(maps)
    for place in [(0, 0, 0, 0), (1, 8, 11, 2), (0, 4, 5, 1), (1, 0, 11, 0)]:
        unit = base.copy()
        unit[place] = 1
        expected = (defined_roi_align(unit, BOXES, IMAGES, 4, 3) * cotangent).sum()
        np.testing.assert_allclose(gradient[place], expected, atol=TOLERANCE)


def test_boxes_are_taken_from_the_level_of_their_size():
    sides = np.array([1, 30, 111, 113, 223, 225, 447, 449, 5000], "float32")
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], -1)
    assert list(box_levels(boxes, 4).numpy()) == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    flat = [np.full((1, 64, 64, 1), level, "float32") for level in range(4)]
    outputs = pyramid_roi_align(
        flat, (4, 8, 16, 32), boxes[::-1], tf.zeros(len(boxes), tf.int32), 2
    )
    centre_of_first_cell = outputs.numpy()[:, 0, 0, 0]
    np.testing.assert_array_equal(centre_of_first_cell[1:], [3, 2, 2, 1, 1, 0, 0, 0])


def test_masks_are_cut_out_of_masks():
    # An object with the left half of its box: a proposal sees it where it lies.
    mask = np.zeros((1, 56, 56), "float32")
    mask[:, :, :28] = 1
    box = np.array([[20.0, 10.0, 60.0, 50.0]], "float32")
    same = mask_targets(mask, box, box).numpy()[0]
    np.testing.assert_array_equal(same[:, :14], 1)
    np.testing.assert_array_equal(same[:, 14:], 0)
    # Twice as wide to the left and to the bottom: a quarter of it is the object.
    wider = np.array([[-20.0, 10.0, 60.0, 90.0]], "float32")
    cut = mask_targets(mask, box, wider).numpy()[0]
    expected = np.zeros((28, 28))
    expected[:14, 14:21] = 1
    np.testing.assert_array_equal(cut, expected)
