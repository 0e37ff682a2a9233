"""RetinaNet's losses and detections, from maps that say what they should be."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from detection_samples import tiny_detector

from keras_sa.applications import SARetinaNet
from keras_sa.detection import boxes as boxes_
from keras_sa.detection.image_targets import ImageTargets
from keras_sa.detection.matching import IGNORED

SIZE = (64, 96)
BOXES = np.array(
    [[[8, 8, 40, 40], [50, 10, 90, 60]], [[0, 0, 30, 20], [-1, -1, -1, -1]]], "float32"
)
CLASSES = np.array([[0, 2], [1, -1]], "int32")


@pytest.fixture(scope="module")
def model():
    # No box is dropped for overlapping another one.
    return tiny_detector(SARetinaNet, nms_threshold=1.0)


@pytest.fixture(scope="module")
def outputs(model):
    """Maps of two images that say nothing in particular."""
    random = np.random.default_rng(0)
    shapes = model(np.zeros((2, *SIZE, 3), "float32"))
    return {
        name: [random.normal(0, 0.5, level.shape).astype("float32") for level in levels]
        for name, levels in shapes.items()
    }


def of_anchors(levels, values):
    """`(batch, anchors, values)` in the order of the anchors, level after level."""
    return np.concatenate([x.reshape(len(x), -1, values) for x in levels], 1)


def test_every_level_gives_detections(model, outputs):
    wanted = 0.3 * np.ones(4, "float32")
    logits = [np.full_like(level, -9.0) for level in outputs["logits"]]
    deltas = [np.zeros_like(level) for level in outputs["deltas"]]
    expected = []
    for level, anchors in enumerate(model.anchors.of_maps(logits)):
        # Of the first image another anchor than of the second.
        for image, at in enumerate((level % len(anchors), -1)):
            scores = logits[level][image].reshape(-1, model.classes)
            scores[at, level % 3] = 1.0 + level
            deltas[level][image].reshape(-1, 4)[at] = wanted
            box = boxes_.decode(wanted[np.newaxis], anchors[at][tf.newaxis])
            box = boxes_.clip(box, SIZE)[0].numpy()
            expected.append((image, level, box))
    found = model.detections({"logits": logits, "deltas": deltas}, tf.constant(SIZE))
    assert list(found["count"].numpy()) == [5, 5]
    for image, level, box in expected:
        # The surest is first.
        row = 4 - level
        score = 1 / (1 + np.exp(-1.0 - level))
        np.testing.assert_allclose(found["scores"][image, row], score, rtol=1e-5)
        assert found["classes"][image, row] == level % 3
        np.testing.assert_allclose(found["boxes"][image, row], box, atol=1e-4)


def test_losses_are_sums_over_the_matched_anchors(model, outputs):
    anchors = np.concatenate(model.anchors.of_maps(outputs["logits"]))
    logits = of_anchors(outputs["logits"], model.classes)
    deltas = of_anchors(outputs["deltas"], 4)
    weights = np.array([1.0, 0.5], "float32")
    focal = keras.losses.BinaryFocalCrossentropy(
        True, alpha=0.25, gamma=2.0, from_logits=True, reduction=None
    )
    class_loss = box_loss = positives = 0.0
    for image, weight in enumerate(weights):
        row = {"boxes": BOXES[image], "classes": CLASSES[image], "image_size": SIZE}
        matches = model.matcher.match(anchors, ImageTargets.of_row(row)).numpy()
        positive = matches >= 0
        assert positive.any() and (matches == IGNORED).any()
        truth = np.zeros((len(anchors), model.classes), "float32")
        truth[positive, CLASSES[image][matches[positive]]] = 1
        each = 3 * focal(truth, logits[image]).numpy()
        class_loss += weight * each[matches != IGNORED].sum()
        wanted = boxes_.encode(
            BOXES[image][matches[positive]], anchors[positive]
        ).numpy()
        box_loss += weight * np.abs(deltas[image][positive] - wanted).sum()
        positives += weight * positive.sum()
    targets = {
        "boxes": tf.constant(BOXES),
        "classes": tf.constant(CLASSES),
        "image_size": tf.constant([SIZE, SIZE], tf.float32),
    }
    losses = model.losses_of(outputs, targets, tf.constant(weights), tf.constant(0))
    expected = [class_loss / positives, box_loss / positives]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
