"""The best boxes of many: proposals and detections."""

import tensorflow as tf


def best_boxes(boxes, scores, count, overlap: float, threshold: float = 0.0):
    """Keeps the best boxes that don't overlap better ones of their class.

    Args:
        boxes: float32 `(batch, n, q, 4)`, where `q` is the number of classes or 1.
        scores: float32 `(batch, n, classes)`.
        count: How many boxes an image keeps of all classes.
        overlap: A box is dropped whose intersection over union with a better one is
            larger.
        threshold: Only boxes with a larger score are kept.

    Returns:
        A dict of `boxes` `(batch, count, 4)`, `scores` and `classes`
        `(batch, count)`, best first, and `count` `(batch,)`, how many there are. The
        rows behind are zeros, with the class -1.
    """
    boxes, scores, classes, found = tf.image.combined_non_max_suppression(
        boxes,
        scores,
        max_output_size_per_class=count,
        max_total_size=count,
        iou_threshold=overlap,
        score_threshold=threshold,
        clip_boxes=False,
    )
    there = tf.range(count) < found[:, tf.newaxis]
    return {
        "boxes": boxes,
        "scores": scores,
        "classes": tf.where(there, tf.cast(classes, tf.int32), -1),
        "count": found,
    }


def best_of_level(logits, boxes, count: int):
    """The candidates of a level with the largest logit.

    Args:
        logits: float32 `(batch, n, classes)`.
        boxes: A function of indices `(batch, k)` that gives boxes `(batch, k, 4)`.
        count: How many are kept at most.

    Returns:
        `(scores, boxes)` `(batch, k, classes)` and `(batch, k, 4)`, with the sigmoid
        of the logits.
    """
    best = tf.reduce_max(logits, -1)
    _, indices = tf.math.top_k(best, tf.minimum(count, tf.shape(best)[1]))
    chosen = tf.gather(logits, indices, batch_dims=1)
    return tf.sigmoid(chosen), boxes(indices)


def merge_levels(levels: list[dict], count: int):
    """The best boxes of all levels, `(batch, count, 4)`, padded with zeros."""
    boxes = tf.concat([level["boxes"] for level in levels], 1)
    scores = tf.concat([level["scores"] for level in levels], 1)
    missing = tf.maximum(count - tf.shape(scores)[1], 0)
    boxes = tf.pad(boxes, [[0, 0], [0, missing], [0, 0]])
    scores = tf.pad(scores, [[0, 0], [0, missing]])
    _, order = tf.math.top_k(scores, count)
    return tf.gather(boxes, order, batch_dims=1)
