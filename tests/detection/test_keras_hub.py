"""KerasHub's RetinaNet takes our pyramids, and learns with them."""

import re

import keras
import numpy as np
import pytest
from detection_samples import coloured_shapes
from detection_samples import tiny_backbone

from keras_sa.applications import feature_pyramid
from keras_sa.detection.keras_hub import initialize_heads

SIZE = 64
CLASSES = 3


@pytest.fixture(scope="module")
def models():
    """`keras_hub.models`, or a skip that says why."""
    reason = "needs keras-hub: pip install 'keras-sa[keras-hub]'"
    return pytest.importorskip("keras_hub", reason=reason, exc_type=ImportError).models


def detector_on(pyramid, models):
    backbone = models.RetinaNetBackbone(
        image_encoder=pyramid,
        min_level=3,
        max_level=5,
        use_p5=False,
        image_shape=(SIZE, SIZE, 3),
    )
    return models.RetinaNetObjectDetector(
        backbone,
        num_classes=CLASSES,
        bounding_box_format="xyxy",
        pre_logits_num_conv_layers=1,
    )


def probabilities(detector, images):
    return keras.ops.sigmoid(detector(images)["cls_logits"]).numpy()


@pytest.fixture(scope="module")
def trained(models):
    """A detector on a partly frozen pyramid, its losses, and what was frozen."""
    keras.utils.set_random_seed(0)
    pyramid = feature_pyramid(tiny_backbone())
    pyramid.freeze("P2")
    before = [weight.numpy() for weight in pyramid.weights]
    detector = detector_on(pyramid, models)
    initialize_heads(detector, seed=0)
    images, targets = coloured_shapes(8, SIZE, SIZE)
    targets = {"boxes": targets["boxes"], "labels": targets["classes"]}
    detector.compile(keras.optimizers.Adam(1e-3))
    history = detector.fit(
        images, targets, batch_size=4, epochs=8, shuffle=False, verbose=0
    )
    return detector, pyramid, before, history.history["loss"]


def test_heads_begin_as_published(models):
    detector = detector_on(feature_pyramid(tiny_backbone()), models)
    images, _ = coloured_shapes(2, SIZE, SIZE)
    # KerasHub's own start, which is why there is something to set right. When this
    # fails KerasHub has changed, and `initialize_heads` may have become needless.
    assert abs(probabilities(detector, images).mean() - 0.5) < 0.2
    bias = detector.box_head.prediction_layer.bias.numpy()
    np.testing.assert_allclose(bias, -np.log(99), rtol=1e-5)
    initialize_heads(detector, seed=0)
    found = detector(images)
    # Deviations come from random kernels of a standard deviation of 0.01.
    np.testing.assert_allclose(found["bbox_regression"], 0, atol=0.2)
    np.testing.assert_allclose(probabilities(detector, images), 0.01, atol=0.003)


@pytest.mark.slow
def test_it_learns(trained):
    *_, losses = trained
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] / 4


@pytest.mark.slow
def test_frozen_levels_stay_and_the_others_move(trained):
    _, pyramid, before, _ = trained
    changed = {
        weight.path: not np.array_equal(weight.numpy(), value)
        for weight, value in zip(pyramid.weights, before, strict=True)
    }
    # With the statistics of the batch norms.
    frozen = [path for path in changed if re.match(r"conv[12]_", path)]
    assert frozen and not any(changed[path] for path in frozen)
    assert all(w.path not in frozen for w in pyramid.trainable_weights)
    assert any(changed[w.path] for w in pyramid.trainable_weights)


@pytest.mark.slow
def test_the_backbone_is_saved_and_loaded(trained, tmp_path):
    detector, *_ = trained
    detector.backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    assert list(loaded.image_encoder.pyramid_outputs) == ["P2", "P3", "P4", "P5"]
    images, _ = coloured_shapes(2, SIZE, SIZE)
    expected, found = (model(images) for model in (detector.backbone, loaded))
    assert list(found) == ["P3", "P4", "P5"]
    for level, maps in expected.items():
        np.testing.assert_allclose(found[level], maps, atol=1e-5)


@pytest.mark.slow
def test_the_detector_is_saved_and_loaded(trained, models, tmp_path):
    # Keras can't restore the optimizer behind KerasHub's own `compile`: a detector
    # is saved without one.
    detector = detector_on(feature_pyramid(tiny_backbone()), models)
    detector.set_weights(trained[0].get_weights())
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras", compile=False)
    images, _ = coloured_shapes(2, SIZE, SIZE)
    np.testing.assert_allclose(
        probabilities(loaded, images), probabilities(detector, images), atol=1e-5
    )


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="RetinaNetObjectDetector.*Functional"):
        initialize_heads(tiny_backbone())
