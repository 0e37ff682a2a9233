"""RetinaNet."""

from typing import Any

import keras
import tensorflow as tf

from keras_sa.detection import boxes as boxes_
from keras_sa.detection.anchors import Anchors
from keras_sa.detection.detector import Detector
from keras_sa.detection.detector import Outputs
from keras_sa.detection.detector import flatten_levels
from keras_sa.detection.feature_pyramid_network import feature_pyramid_network
from keras_sa.detection.heads import dense_head
from keras_sa.detection.image_targets import for_each_image
from keras_sa.detection.losses import absolute_error
from keras_sa.detection.losses import focal_loss
from keras_sa.detection.losses import mean_of_all
from keras_sa.detection.matching import IGNORED
from keras_sa.detection.matching import Matcher
from keras_sa.detection.proposals import best_boxes
from keras_sa.detection.proposals import best_of_level

LEVELS = ("P3", "P4", "P5")
STRIDES = (8, 16, 32, 64, 128)
OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
# Candidates of each level before non-maximum suppression.
CANDIDATES = 1000


@keras.saving.register_keras_serializable(package="keras_sa")
class RetinaNet(Detector):
    """RetinaNet: one dense head on the levels P3 to P7, trained by the focal loss.

    `keras_sa.applications.SARetinaNet` builds it by name, and says what the common
    arguments mean.

    Args:
        backbone: A `PyramidBackbone` with the levels P3 to P5.
        classes: Number of classes.
        channels: Channels of the pyramid.
        depth: Convolutions in each half of the head, before the last.
        anchor_scale: Side of the smallest square anchor, in strides of its level.
        train_batch_norms: See `Detector`.
        score_threshold: See `Detector`.
        nms_threshold: See `Detector`.
        max_detections: See `Detector`.
        **kwargs: Base model keyword arguments.

    Reference:

    - [Focal Loss for Dense Object Detection](https://arxiv.org/abs/1708.02002)
      (Lin et al., ICCV 2017)
    """

    def __init__(
        self,
        backbone: keras.Model,
        classes: int = 80,
        *,
        channels: int = 256,
        depth: int = 4,
        anchor_scale: float = 4.0,
        train_batch_norms: bool = False,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            backbone,
            classes,
            train_batch_norms,
            score_threshold,
            nms_threshold,
            max_detections,
            ("class_loss", "box_loss"),
            **kwargs,
        )
        self.options = {
            "channels": channels,
            "depth": depth,
            "anchor_scale": anchor_scale,
        }
        scales = [anchor_scale * scale for scale in OCTAVE]
        self.anchors = Anchors(STRIDES, scales)
        self.matcher = Matcher(positive=0.5, negative=0.4, low_quality=0.0)

        dtype = self.dtype_policy
        maps = self.backbone_maps(LEVELS)
        pyramid = feature_pyramid_network(maps, channels, "convolution", dtype)
        head = dense_head(channels, self.anchors.per_position, classes, dtype, depth)
        logits, deltas = zip(*map(head, pyramid), strict=True)
        outputs = {"logits": list(logits), "deltas": list(deltas)}
        self.network = keras.Model(maps, outputs, name="network")
        self.finish_building()

    def losses_of(
        self,
        outputs: Outputs,
        targets: dict[str, tf.Tensor],
        weights: tf.Tensor,
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        anchors = tf.concat(self.anchors.of_maps(outputs["logits"]), 0)

        def match(image):
            matches = self.matcher.match(anchors, image)
            objects = tf.maximum(matches, 0)
            classes = tf.gather(image.classes, objects)
            deltas = boxes_.encode(tf.gather(image.boxes, objects), anchors)
            return tf.where(matches >= 0, classes, matches), deltas

        signature = (
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 4), tf.float32),
        )
        classes, wanted = for_each_image(match, signature, targets)
        weights = weights[:, tf.newaxis]
        positive = tf.cast(classes >= 0, tf.float32) * weights
        counted = tf.cast(classes != IGNORED, tf.float32) * weights
        logits = tf.concat(flatten_levels(outputs["logits"], self.classes), 1)
        deltas = tf.concat(flatten_levels(outputs["deltas"], 4), 1)
        total = tf.reduce_sum(positive)
        return [
            mean_of_all(focal_loss(logits, classes, counted), total),
            mean_of_all(absolute_error(deltas, wanted, positive), total),
        ]

    def detections(self, outputs: Outputs, size: tf.Tensor) -> dict[str, tf.Tensor]:
        anchors = self.anchors.of_maps(outputs["logits"])
        logits = flatten_levels(outputs["logits"], self.classes)
        deltas = flatten_levels(outputs["deltas"], 4)
        scores, boxes = [], []
        for anchor, logit, delta in zip(anchors, logits, deltas, strict=True):

            def decoded(indices, anchor=anchor, delta=delta):
                delta = tf.gather(delta, indices, batch_dims=1)
                decoded = boxes_.decode(delta, tf.gather(anchor, indices))
                return boxes_.clip(decoded, size)

            level_scores, level_boxes = best_of_level(logit, decoded, CANDIDATES)
            scores.append(level_scores)
            boxes.append(level_boxes)
        return best_boxes(
            tf.concat(boxes, 1)[:, :, tf.newaxis],
            tf.concat(scores, 1),
            self.max_detections,
            self.nms_threshold,
            self.score_threshold,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.options}
