"""The first stage of the R-CNNs: which anchors hold an object."""

from dataclasses import dataclass

import tensorflow as tf

from keras_sa.detection import boxes as boxes_
from keras_sa.detection.anchors import Anchors
from keras_sa.detection.detector import flatten_levels
from keras_sa.detection.image_targets import for_each_image
from keras_sa.detection.losses import absolute_error
from keras_sa.detection.losses import mean_of_all
from keras_sa.detection.matching import Matcher
from keras_sa.detection.proposals import best_boxes
from keras_sa.detection.proposals import best_of_level
from keras_sa.detection.proposals import merge_levels
from keras_sa.detection.sampling import Sampler


@dataclass(frozen=True)
class ProposalStage:
    """Losses and proposals of the region proposal network.

    Args:
        anchors: The anchors.
        sampler: Which of them are trained.
        matcher: Which objects they stand for.
        overlap: Of two proposals of a level that overlap more, the better is kept.

    Reference:

    - [Faster R-CNN](https://arxiv.org/abs/1506.01497) (Ren et al., NeurIPS 2015)
    """

    anchors: Anchors
    sampler: Sampler
    matcher: Matcher = Matcher(positive=0.7, negative=0.3, low_quality=0.3)
    overlap: float = 0.7

    def losses(self, outputs: dict, targets: dict, weights, step) -> list:
        """The losses of objectness and boxes.

        Args:
            outputs: `logits` and `deltas` of each level.
            targets: The batch's targets.
            weights: Weight of each image, `(batch,)`.
            step: Number of the step, for random choices.
        """
        anchors = tf.concat(self.anchors.of_maps(outputs["logits"]), 0)

        def choose(image):
            matches = self.matcher.match(anchors, image)
            indices, valid = self.sampler.sample(matches, image.seed(step))
            matches = tf.gather(matches, indices)
            boxes = tf.gather(image.boxes, tf.maximum(matches, 0))
            positive = valid & (matches >= 0)
            deltas = boxes_.encode(boxes, tf.gather(anchors, indices))
            return indices, valid, positive, deltas

        count = self.sampler.count
        signature = (
            tf.TensorSpec((count,), tf.int32),
            tf.TensorSpec((count,), tf.bool),
            tf.TensorSpec((count,), tf.bool),
            tf.TensorSpec((count, 4), tf.float32),
        )
        indices, valid, positive, wanted = for_each_image(choose, signature, targets)
        logits = tf.concat(flatten_levels(outputs["logits"], 1), 1)
        deltas = tf.concat(flatten_levels(outputs["deltas"], 4), 1)
        logits = tf.gather(logits[..., 0], indices, batch_dims=1)
        deltas = tf.gather(deltas, indices, batch_dims=1)
        valid = tf.cast(valid, tf.float32) * weights[:, tf.newaxis]
        positive = tf.cast(positive, tf.float32)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(positive, logits)
        total = tf.reduce_sum(valid)
        return [
            mean_of_all(tf.reduce_sum(entropy * valid), total),
            mean_of_all(absolute_error(deltas, wanted, valid * positive), total),
        ]

    def propose(self, outputs: dict, size, count: int):
        """The proposals of each image.

        Args:
            outputs: `logits` and `deltas` of each level.
            size: Height and width to clip to, `(2,)` or `(batch, 1, 2)`.
            count: How many are considered in each level and kept of all.

        Returns:
            float32 `(batch, count, 4)`, best first, padded with zeros. They have no
            gradient.
        """
        levels = []
        anchors = self.anchors.of_maps(outputs["logits"])
        logits = flatten_levels(outputs["logits"], 1)
        deltas = flatten_levels(outputs["deltas"], 4)
        for anchor, logit, delta in zip(anchors, logits, deltas, strict=True):

            def decoded(indices, anchor=anchor, delta=delta):
                delta = tf.gather(delta, indices, batch_dims=1)
                boxes = boxes_.decode(delta, tf.gather(anchor, indices))
                return boxes_.clip(boxes, size)

            scores, boxes = best_of_level(logit, decoded, count)
            boxes = boxes[:, :, tf.newaxis]
            levels.append(best_boxes(boxes, scores, count, self.overlap))
        return tf.stop_gradient(merge_levels(levels, count))
