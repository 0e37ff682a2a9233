"""The region proposal network's losses and proposals."""

import numpy as np
import pytest
import tensorflow as tf

from keras_sa.detection import boxes as boxes_
from keras_sa.detection.anchors import Anchors
from keras_sa.detection.image_targets import ImageTargets
from keras_sa.detection.proposal_stage import ProposalStage
from keras_sa.detection.sampling import Sampler

SIZE = (64.0, 96.0)
SHAPES = ((16, 24), (8, 12))
BOXES = np.array([[[8, 8, 40, 40], [50, 10, 90, 60]], [[0, 0, 30, 20]] * 2], "float32")
CLASSES = np.array([[0, 2], [1, -1]], "int32")


@pytest.fixture(scope="module")
def stage():
    anchors = Anchors((4, 8), scales=(8.0,))
    # As many as there are, so that nothing is left to chance.
    return ProposalStage(anchors, Sampler(2000, 0.5))


@pytest.fixture
def outputs():
    random = np.random.default_rng(0)

    def maps(values):
        return [
            random.normal(0, 0.5, (2, *shape, 3 * values)).astype("float32")
            for shape in SHAPES
        ]

    return {"logits": maps(1), "deltas": maps(4)}


def test_losses_are_means_over_the_chosen_anchors(stage, outputs):
    anchors = np.concatenate(stage.anchors.of_maps(outputs["logits"]))
    logits, deltas = (
        np.concatenate([x.reshape(2, -1, n) for x in outputs[name]], 1)
        for name, n in (("logits", 1), ("deltas", 4))
    )
    weights = np.array([1.0, 0.5], "float32")
    entropy = box_loss = count = 0.0
    for image, weight in enumerate(weights):
        row = {"boxes": BOXES[image], "classes": CLASSES[image], "image_size": SIZE}
        matches = stage.matcher.match(anchors, ImageTargets.of_row(row)).numpy()
        positive, used = matches >= 0, matches >= -1
        assert positive.any() and not used.all()
        truth = positive[:, np.newaxis].astype("float32")
        each = np.log1p(np.exp(logits[image])) - truth * logits[image]
        entropy += weight * each[used].sum()
        wanted = boxes_.encode(
            BOXES[image][matches[positive]], anchors[positive]
        ).numpy()
        box_loss += weight * np.abs(deltas[image][positive] - wanted).sum()
        count += weight * used.sum()
    targets = {
        "boxes": tf.constant(BOXES),
        "classes": tf.constant(CLASSES),
        "image_size": tf.constant([SIZE, SIZE]),
    }
    losses = stage.losses(outputs, targets, tf.constant(weights), tf.constant(0))
    np.testing.assert_allclose(losses, [entropy / count, box_loss / count], rtol=1e-5)


def test_proposals_are_the_best_of_all_levels_clipped(stage, outputs):
    logits = [np.full_like(level, -9.0) for level in outputs["logits"]]
    expected = []
    for level, (anchors, place) in enumerate(
        zip(stage.anchors.of_maps(logits), (500, 150), strict=True)
    ):
        for image in range(2):
            at = place + image
            logits[level][image].reshape(-1)[at] = 3.0 - level
            delta = outputs["deltas"][level][image].reshape(-1, 4)[at]
            box = boxes_.decode(delta[np.newaxis], anchors[at][tf.newaxis])
            expected.append((image, level, boxes_.clip(box, SIZE)[0].numpy()))
    outputs = {"logits": logits, "deltas": outputs["deltas"]}
    proposals = stage.propose(outputs, tf.constant(SIZE), 5000).numpy()
    assert proposals.shape == (2, 5000, 4)
    for image, level, box in expected:
        np.testing.assert_allclose(proposals[image, level], box, atol=1e-4)
    # There are fewer anchors than that.
    assert not proposals[:, -1].any()
    x1, y1, x2, y2 = np.moveaxis(proposals, -1, 0)
    assert x1.min() == y1.min() == 0
    assert x2.max() == SIZE[1] and y2.max() == SIZE[0]


def test_proposals_of_a_level_that_overlap_are_one(stage, outputs):
    outputs["deltas"] = [np.zeros_like(level) for level in outputs["deltas"]]
    proposals = stage.propose(outputs, tf.constant(SIZE), 1000)
    for image, boxes in enumerate(proposals):
        boxes = tf.boolean_mask(boxes, boxes_.areas(boxes) > 0)
        single = ProposalStage(Anchors((4,), (8.0,)), stage.sampler).propose(
            {name: [levels[0]] for name, levels in outputs.items()},
            tf.constant(SIZE),
            1000,
        )[image]
        single = tf.boolean_mask(single, boxes_.areas(single) > 0)
        overlaps = boxes_.overlaps(single, single).numpy()
        np.fill_diagonal(overlaps, 0)
        assert overlaps.max() <= 0.7 + 1e-6
        # Of both levels together two may be alike.
        assert len(boxes) > len(single)
