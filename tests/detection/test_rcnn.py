"""The second stage of the R-CNNs: losses and detections from heads that are given."""

import numpy as np
import pytest
import tensorflow as tf
from detection_samples import tiny_detector

from keras_sa.applications import SAMaskRCNN
from keras_sa.detection import boxes as boxes_
from keras_sa.detection.heads import MASK_SIZE
from keras_sa.detection.region_stage import STD

SIZE = (64, 96)
CLASSES = 3
REGIONS = 8


@pytest.fixture(scope="module")
def model():
    return tiny_detector(SAMaskRCNN, test_proposals=REGIONS, max_detections=6)


@pytest.fixture(scope="module")
def outputs(model):
    images = np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype("float32")
    return model(images)


@pytest.fixture
def heads(model, monkeypatch):
    """What the heads say of 2 x 8 regions, whatever they are shown."""
    random = np.random.default_rng(1)
    said = {
        "logits": random.normal(0, 2, (2 * REGIONS, CLASSES + 1)).astype("float32"),
        "deltas": random.normal(size=(2 * REGIONS, 4 * CLASSES)).astype("float32"),
    }
    seen = {}

    def box_head(regions):
        seen["boxes"] = regions
        return tf.constant(said["logits"]), tf.constant(said["deltas"])

    def mask_head(regions):
        # Each cell is the class, the sign alternates with the region.
        seen["masks"] = regions
        count = regions.shape[0]
        signs = tf.reshape((-1.0) ** tf.range(count, dtype=tf.float32), (-1, 1, 1, 1))
        shape = (count, MASK_SIZE, MASK_SIZE, CLASSES)
        return signs * tf.broadcast_to([1.0, 2.0, 3.0], shape)

    monkeypatch.setattr(model, "box_head", box_head)
    monkeypatch.setattr(model, "mask_head", mask_head)
    return said, seen


def some_regions():
    random = np.random.default_rng(2)
    low = random.uniform(0, 40, (2, REGIONS, 2))
    boxes = np.concatenate([low, low + random.uniform(5, 20, low.shape)], -1)
    positive = np.zeros((2, REGIONS), bool)
    positive[0, :3] = positive[1, :1] = True
    masks = random.uniform(size=(2, 4, MASK_SIZE, MASK_SIZE)) > 0.5
    classes = np.where(positive, random.integers(0, CLASSES, (2, REGIONS)), CLASSES)
    return {
        "boxes": boxes.astype("float32"),
        "classes": classes.astype("int32"),
        "valid": np.arange(REGIONS) < np.array([[8], [5]]),
        "positive": positive,
        "deltas": random.normal(size=(2, REGIONS, 4)).astype("float32"),
        "masks": masks.astype("float32"),
    }


def test_box_losses_are_means_over_the_valid_regions(model, outputs, heads):
    (said, seen), regions = heads, some_regions()
    weights = np.array([1.0, 0.25], "float32")
    entropy = box_loss = count = 0.0
    for image, at in np.argwhere(regions["valid"]):
        row = image * REGIONS + at
        logits, label = said["logits"][row], regions["classes"][image, at]
        share = weights[image]
        entropy += share * (np.log(np.exp(logits).sum()) - logits[label])
        if regions["positive"][image, at]:
            own = said["deltas"][row].reshape(CLASSES, 4)[label]
            box_loss += share * np.abs(own - regions["deltas"][image, at]).sum()
        count += share
    found = model._box_losses(
        outputs, tf.nest.map_structure(tf.constant, regions), weights
    )
    np.testing.assert_allclose(found, [entropy / count, box_loss / count], rtol=1e-5)
    assert seen["boxes"].shape[:3] == (2 * REGIONS, 7, 7)


def test_the_mask_loss_looks_at_the_objects_alone(model, outputs, heads):
    (_, seen), regions = heads, some_regions()
    weights = np.array([1.0, 0.25], "float32")
    loss = count = 0.0
    positives = np.argwhere(regions["positive"])
    for number, (image, at) in enumerate(positives):
        logit = (-1) ** number * (1.0 + regions["classes"][image, at])
        truth = regions["masks"][image, at]
        each = np.log1p(np.exp(logit)) - truth * logit
        loss += weights[image] * each.mean()
        count += weights[image]
    found = model._mask_loss(
        outputs, tf.nest.map_structure(tf.constant, regions), weights
    )
    np.testing.assert_allclose(found, loss / count, rtol=1e-5)
    assert seen["masks"].shape[:3] == (len(positives), 14, 14)


def test_detections_are_the_best_classes_of_the_proposals(model, outputs, heads):
    said, seen = heads
    proposals = model.proposal_stage.propose(outputs, tf.constant(SIZE), REGIONS)
    assert (boxes_.areas(proposals).numpy() > 0).all()
    # One object of each class, by different regions of the two images.
    said["logits"][:] = [-5.0, -5.0, -5.0, 5.0]
    said["deltas"][:] = 0
    sure = [(0, 1, 2, 4.0), (0, 6, 0, 3.0), (1, 3, 1, 2.0), (1, 0, 0, 1.0)]
    for image, at, label, logit in sure:
        row = image * REGIONS + at
        said["logits"][row, label] = 5.0 + logit
        said["deltas"][row].reshape(CLASSES, 4)[label] = 0.5, -0.5, 1.0, -1.0
    found = {k: v.numpy() for k, v in model.detections(outputs, SIZE).items()}
    assert list(found["count"]) == [2, 2]
    for number, (image, at, label, logit) in enumerate(sure):
        row = number % 2
        box = proposals[image, at].numpy()[np.newaxis]
        box = boxes_.decode(np.array([[0.5, -0.5, 1.0, -1.0]], "float32"), box, STD)
        box = boxes_.clip(box, SIZE)[0]
        np.testing.assert_allclose(found["boxes"][image, row], box, atol=1e-4)
        score = 1 / (1 + np.exp(-logit) + 2 * np.exp(-10 - logit))
        np.testing.assert_allclose(found["scores"][image, row], score, rtol=1e-4)
        assert found["classes"][image, row] == label
        cell = 1 / (1 + np.exp(-((-1.0) ** number) * (1 + label)))
        np.testing.assert_allclose(found["masks"][image, row], cell, rtol=1e-5)
    assert (found["classes"][:, 2:] == -1).all()
    for name in ("boxes", "scores", "masks"):
        assert not found[name][:, 2:].any(), name
    # Masks of what is found, and of nothing else.
    assert seen["masks"].shape[:3] == (4, 14, 14)


def test_nothing_found_is_no_mask(model, outputs, heads):
    said, _ = heads
    said["logits"][:] = [-9.0, -9.0, -9.0, 9.0]
    found = model.detections(outputs, tf.constant(SIZE))
    assert not found["count"].numpy().any()
    assert found["masks"].shape == (2, 6, MASK_SIZE, MASK_SIZE)
    assert not found["masks"].numpy().any()


def test_predictions_are_detections_in_images_of_their_size(model, monkeypatch):
    images = np.random.default_rng(3).normal(size=(1, *SIZE, 3)).astype("float32")
    asked = []

    def detections(outputs, size):
        asked.append(tuple(np.asarray(size)))
        return {"pyramid": outputs["pyramid"][0]}

    monkeypatch.setattr(model, "detections", detections)
    found = model.predict_step((images, None))
    assert asked == [SIZE]
    np.testing.assert_array_equal(found["pyramid"], model(images)["pyramid"][0])
