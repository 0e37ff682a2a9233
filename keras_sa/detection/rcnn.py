"""Faster R-CNN and Mask R-CNN."""

from typing import Any

import keras
import tensorflow as tf

from keras_sa.detection import boxes as boxes_
from keras_sa.detection.anchors import Anchors
from keras_sa.detection.detector import Detector
from keras_sa.detection.detector import Outputs
from keras_sa.detection.feature_pyramid_network import feature_pyramid_network
from keras_sa.detection.heads import MASK_SIZE
from keras_sa.detection.heads import box_head
from keras_sa.detection.heads import mask_head
from keras_sa.detection.heads import proposal_head
from keras_sa.detection.losses import absolute_error
from keras_sa.detection.losses import mean_of_all
from keras_sa.detection.proposal_stage import ProposalStage
from keras_sa.detection.proposals import best_boxes
from keras_sa.detection.region_stage import STD
from keras_sa.detection.region_stage import RegionStage
from keras_sa.detection.roi_align import pyramid_roi_align
from keras_sa.detection.sampling import Sampler

LEVELS = ("P2", "P3", "P4", "P5")
STRIDES = (4, 8, 16, 32, 64)
BOX_CELLS = 7
LOSSES = ("proposal_class_loss", "proposal_box_loss", "class_loss", "box_loss")


@keras.saving.register_keras_serializable(package="keras_sa")
class RCNN(Detector):
    """Faster R-CNN with a feature pyramid, and with `masks=True` Mask R-CNN.

    `keras_sa.applications.SAFasterRCNN` and `SAMaskRCNN` build it by name, and say
    what the common arguments mean.

    Args:
        backbone: A `PyramidBackbone` with the levels P2 to P5.
        classes: Number of classes.
        masks: Whether masks are predicted.
        channels: Channels of the pyramid.
        units: Units of the two dense layers.
        anchor_scale: Side of a square anchor, in strides of its level.
        proposal_samples: Anchors of an image that are trained in a step.
        region_samples: Proposals of an image that are trained in a step.
        train_proposals: Proposals of an image in training, before they are chosen.
        test_proposals: Proposals of an image in prediction.
        train_batch_norms: See `Detector`.
        score_threshold: See `Detector`.
        nms_threshold: See `Detector`.
        max_detections: See `Detector`.
        **kwargs: Base model keyword arguments.

    Reference:

    - [Feature Pyramid Networks for Object Detection](
      https://arxiv.org/abs/1612.03144) (Lin et al., CVPR 2017)
    - [Mask R-CNN](https://arxiv.org/abs/1703.06870) (He et al., ICCV 2017)
    """

    def __init__(
        self,
        backbone: keras.Model,
        classes: int = 80,
        masks: bool = False,
        *,
        channels: int = 256,
        units: int = 1024,
        anchor_scale: float = 8.0,
        proposal_samples: int = 256,
        region_samples: int = 512,
        train_proposals: int = 2000,
        test_proposals: int = 1000,
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
            (*LOSSES, "mask_loss") if masks else LOSSES,
            **kwargs,
        )
        self.options = {
            "masks": masks,
            "channels": channels,
            "units": units,
            "anchor_scale": anchor_scale,
            "proposal_samples": proposal_samples,
            "region_samples": region_samples,
            "train_proposals": train_proposals,
            "test_proposals": test_proposals,
        }
        self.masks = masks
        self.test_proposals = test_proposals
        self.train_proposals = train_proposals
        anchors = Anchors(STRIDES, scales=(anchor_scale,))
        self.proposal_stage = ProposalStage(anchors, Sampler(proposal_samples, 0.5))
        self.region_stage = RegionStage(classes, Sampler(region_samples, 0.25))

        dtype = self.dtype_policy
        maps = self.backbone_maps(LEVELS)
        pyramid = feature_pyramid_network(maps, channels, "pool", dtype)
        head = proposal_head(channels, anchors.per_position, dtype)
        logits, deltas = zip(*map(head, pyramid), strict=True)
        outputs = {
            "pyramid": pyramid[: len(LEVELS)],
            "logits": list(logits),
            "deltas": list(deltas),
        }
        self.network = keras.Model(maps, outputs, name="network")
        self.box_head = box_head(channels, classes, units, BOX_CELLS, dtype)
        self.mask_head: Any = mask_head(channels, classes, dtype) if masks else None
        self.finish_building()

    def losses_of(
        self,
        outputs: Outputs,
        targets: dict[str, tf.Tensor],
        weights: tf.Tensor,
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        if self.masks and "masks" not in targets:
            raise ValueError(
                "Mask R-CNN is trained with masks: load the data with `mask_size=56`, "
                f"or train Faster R-CNN. Received: targets={sorted(targets)}"
            )
        losses = self.proposal_stage.losses(outputs, targets, weights, step)
        proposals = self.proposal_stage.propose(
            outputs, targets["image_size"][:, tf.newaxis], self.train_proposals
        )
        regions = self.region_stage.choose(targets, proposals, step, self.masks)
        losses += self._box_losses(outputs, regions, weights)
        if self.masks:
            losses.append(self._mask_loss(outputs, regions, weights))
        return losses

    def detections(self, outputs: Outputs, size: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes = self.proposal_stage.propose(outputs, size, self.test_proposals)
        logits, deltas = self.box_head(self._cut(outputs, boxes, BOX_CELLS))
        shape = (-1, self.test_proposals, self.classes)
        scores = tf.reshape(tf.nn.softmax(logits)[:, :-1], shape)
        # What only pads the proposals is no object.
        scores *= tf.cast(boxes_.areas(boxes) > 0, tf.float32)[..., tf.newaxis]
        boxes = boxes_.decode(
            tf.reshape(deltas, (*shape, 4)), boxes[:, :, tf.newaxis], STD
        )
        found = best_boxes(
            boxes_.clip(boxes, size),
            scores,
            self.max_detections,
            self.nms_threshold,
            self.score_threshold,
        )
        if self.masks:
            found["masks"] = self._masks(outputs, found)
        return found

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.options}

    def _cut(self, outputs, boxes, size):
        """Regions of all boxes `(batch, n, 4)`, the images' one after the other."""
        batch, count = tf.unstack(tf.shape(boxes)[:2])
        images = tf.repeat(tf.range(batch), count)
        boxes = tf.reshape(boxes, (-1, 4))
        return self._cut_chosen(outputs, boxes, images, size)

    def _cut_chosen(self, outputs, boxes, images, size):
        strides = STRIDES[: len(LEVELS)]
        return pyramid_roi_align(outputs["pyramid"], strides, boxes, images, size)

    def _box_losses(self, outputs, regions, weights):
        logits, deltas = self.box_head(self._cut(outputs, regions["boxes"], BOX_CELLS))
        classes = tf.reshape(regions["classes"], [-1])
        valid = tf.cast(regions["valid"], tf.float32) * weights[:, tf.newaxis]
        total = tf.reduce_sum(valid)
        valid = tf.reshape(valid, [-1])
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
        positive = tf.cast(tf.reshape(regions["positive"], [-1]), tf.float32)
        deltas = tf.reshape(deltas, (-1, self.classes, 4))
        own = tf.minimum(classes, self.classes - 1)
        deltas = tf.gather(deltas, own, batch_dims=1)
        wanted = tf.reshape(regions["deltas"], (-1, 4))
        return [
            mean_of_all(tf.reduce_sum(entropy * valid), total),
            mean_of_all(absolute_error(deltas, wanted, positive * valid), total),
        ]

    def _mask_loss(self, outputs, regions, weights):
        count = regions["masks"].shape[1]
        positive = tf.cast(regions["positive"][:, :count], tf.float32)
        positive = tf.reshape(positive * weights[:, tf.newaxis], [-1])
        # Only what stands for an object costs time.
        chosen = _at_least_one(tf.where(positive > 0)[:, 0])
        boxes = tf.reshape(regions["boxes"][:, :count], (-1, 4))
        boxes = tf.gather(boxes, chosen)
        cut = self._cut_chosen(outputs, boxes, chosen // count, MASK_SIZE // 2)
        classes = tf.reshape(regions["classes"][:, :count], [-1])
        classes = tf.minimum(tf.gather(classes, chosen), self.classes - 1)
        logits = _of_class(self.mask_head(cut), classes)
        truth = tf.reshape(regions["masks"], (-1, MASK_SIZE, MASK_SIZE))
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(
            tf.gather(truth, chosen), logits
        )
        terms = tf.reduce_mean(entropy, (1, 2)) * tf.gather(positive, chosen)
        return mean_of_all(tf.reduce_sum(terms), tf.reduce_sum(positive))

    def _masks(self, outputs, found):
        classes = tf.reshape(found["classes"], [-1])
        # What pads the detections costs no time.
        chosen = _at_least_one(tf.where(classes >= 0)[:, 0])
        boxes = tf.gather(tf.reshape(found["boxes"], (-1, 4)), chosen)
        images = chosen // self.max_detections
        cut = self._cut_chosen(outputs, boxes, images, MASK_SIZE // 2)
        classes = tf.gather(classes, chosen)
        masks = tf.sigmoid(_of_class(self.mask_head(cut), tf.maximum(classes, 0)))
        masks *= tf.cast(classes >= 0, tf.float32)[:, tf.newaxis, tf.newaxis]
        count = tf.size(found["classes"], out_type=tf.int64)
        shape = (count, MASK_SIZE, MASK_SIZE)
        masks = tf.scatter_nd(chosen[:, tf.newaxis], masks, shape)
        return tf.reshape(masks, (-1, self.max_detections, MASK_SIZE, MASK_SIZE))


def _at_least_one(rows):
    """Row numbers, or the first one if there are none: convolutions need one."""
    return tf.cond(tf.size(rows) > 0, lambda: rows, lambda: tf.zeros([1], rows.dtype))


def _of_class(logits, classes):
    """Of masks `(n, size, size, classes)` each one's own class, `(n, size, size)`."""
    logits = tf.transpose(logits, (0, 3, 1, 2))
    return tf.gather(logits, classes, batch_dims=1)
