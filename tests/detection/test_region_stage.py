"""What the second stage of the R-CNNs is trained with."""

import numpy as np
import pytest
import tensorflow as tf

from keras_sa.detection import boxes as boxes_
from keras_sa.detection.heads import MASK_SIZE
from keras_sa.detection.region_stage import STD
from keras_sa.detection.region_stage import RegionStage
from keras_sa.detection.sampling import Sampler

BOXES = np.array([[[10, 10, 50, 50], [60, 10, 90, 60]], [[0, 0, 30, 30]] * 2], "f4")
CLASSES = np.array([[1, 0], [2, -1]], "int32")
PROPOSALS = np.array(
    [
        # Three quarters of the first object, all of the second, and nothing.
        [[10, 10, 50, 40], [60, 10, 90, 60], [0, 70, 10, 80]],
        [[0, 0, 29, 30], [50, 50, 60, 60], [70, 70, 90, 90]],
    ],
    "float32",
)


@pytest.fixture(scope="module", params=[False, True], ids=["boxes", "masks"])
def regions(request):
    targets = {
        "boxes": tf.constant(BOXES),
        "classes": tf.constant(CLASSES),
        "image_size": tf.constant([[100.0, 100.0]] * 2),
    }
    if request.param:
        # The left half of the first objects, the right half of the second.
        masks = np.zeros((2, 2, 56, 56), "float32")
        masks[:, 0, :, :28] = masks[:, 1, :, 28:] = 1
        targets["masks"] = tf.constant(masks)
    stage = RegionStage(3, Sampler(8, 0.5))
    return stage.choose(targets, PROPOSALS, tf.constant(0), request.param)


def test_objects_come_first_and_are_candidates_themselves(regions):
    # Of the first image four candidates stand for objects, of the second two.
    assert regions["positive"].numpy().tolist() == [
        [True] * 4 + [False] * 4,
        [True] * 2 + [False] * 6,
    ]
    assert regions["valid"].numpy().sum(1).tolist() == [5, 4]
    chosen = {tuple(box) for box in regions["boxes"][0, :4].numpy()}
    assert chosen == {tuple(box) for box in (*BOXES[0], *PROPOSALS[0, :2])}


def test_classes_and_deltas_are_those_of_the_object(regions):
    for image in range(2):
        for at in range(8):
            label = int(regions["classes"][image, at])
            box = regions["boxes"][image, at].numpy()
            if not regions["positive"][image, at]:
                assert label == 3
                continue
            row = list(CLASSES[image]).index(label)
            wanted = boxes_.encode(BOXES[image, row][None], box[None], STD)[0]
            np.testing.assert_allclose(regions["deltas"][image, at], wanted, atol=1e-6)
            overlap = boxes_.overlaps(BOXES[image, row][None], box[None])
            assert float(overlap[0, 0]) >= 0.5


def test_masks_are_those_of_the_part(regions):
    if "masks" not in regions:
        assert set(regions) == {"boxes", "classes", "valid", "positive", "deltas"}
        return
    masks = regions["masks"].numpy()
    assert masks.shape == (2, 4, MASK_SIZE, MASK_SIZE)
    left = np.zeros((MASK_SIZE, MASK_SIZE))
    left[:, : MASK_SIZE // 2] = 1
    # All four regions of the first image are as wide as their object.
    for mask, label in zip(masks[0], regions["classes"][0], strict=False):
        expected = left if label == CLASSES[0, 0] else 1 - left
        np.testing.assert_array_equal(mask, expected)
