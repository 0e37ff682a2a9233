"""Arithmetic of boxes `x1, y1, x2, y2`, always in float32.

Keras' `keras.utils.bounding_boxes` has no ratio to ignored regions and no bound on
decoded sizes, without which one wild output makes infinite boxes.
"""

import math

import tensorflow as tf

# No box grows or shrinks by more than this against its anchor.
MAX_SCALE = math.log(1000 / 16)


def have_area(boxes):
    """Which boxes `(..., 4)`, tensors or arrays, are wider and higher than 0."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def areas(boxes):
    """Areas `(...)` of boxes `(..., 4)`, 0 for those that are turned inside out."""
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def intersections(boxes, others):
    """Common areas `(n, m)` of boxes `(n, 4)` and others `(m, 4)`."""
    low = tf.maximum(boxes[:, tf.newaxis, :2], others[tf.newaxis, :, :2])
    high = tf.minimum(boxes[:, tf.newaxis, 2:], others[tf.newaxis, :, 2:])
    return areas(tf.concat([low, high], -1))


def overlaps(boxes, others):
    """Intersection over union `(n, m)`; 0 where an area is 0."""
    common = intersections(boxes, others)
    union = areas(boxes)[:, tf.newaxis] + areas(others)[tf.newaxis] - common
    return tf.math.divide_no_nan(common, union)


def covered(boxes, others):
    """Which part of each box lies in each of the others, `(n, m)`."""
    common = intersections(boxes, others)
    return tf.math.divide_no_nan(common, areas(boxes)[:, tf.newaxis])


def clip(boxes, size):
    """Boxes `(..., 4)` within an image.

    Args:
        boxes: The boxes.
        size: Height and width, `(..., 2)` that broadcasts to the boxes' leading axes.
    """
    limits = tf.cast(size, tf.float32)
    limits = tf.concat([limits[..., ::-1], limits[..., ::-1]], -1)
    return tf.clip_by_value(boxes, 0.0, limits)


def encode(boxes, anchors, std=(1.0, 1.0, 1.0, 1.0)):
    """What has to be added to anchors to get boxes, in units of `std`.

    Args:
        boxes: `(..., 4)`.
        anchors: Likewise. Where one of both has no area, the result is 0.
        std: Divisors of the shifts of the centre and the logarithms of the scales.

    Returns:
        `(..., 4)`: shifts in x and y, relative to the anchor, and the logarithms of
        the ratios of width and height.
    """
    usable = ((areas(boxes) > 0) & (areas(anchors) > 0))[..., tf.newaxis]
    unit = tf.constant([0.0, 0.0, 1.0, 1.0])
    (centres, sides), (from_centres, from_sides) = (
        _centres_and_sides(tf.where(usable, b, unit)) for b in (boxes, anchors)
    )
    deltas = tf.concat(
        [(centres - from_centres) / from_sides, tf.math.log(sides / from_sides)], -1
    )
    return deltas / tf.constant(std)


def decode(deltas, anchors, std=(1.0, 1.0, 1.0, 1.0)):
    """The boxes that `encode` has made deltas of."""
    deltas = tf.cast(deltas, tf.float32) * tf.constant(std)
    centres, sides = _centres_and_sides(anchors)
    centres += deltas[..., :2] * sides
    sides *= tf.exp(tf.clip_by_value(deltas[..., 2:], -MAX_SCALE, MAX_SCALE))
    return tf.concat([centres - sides / 2, centres + sides / 2], -1)


def _centres_and_sides(boxes):
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low
