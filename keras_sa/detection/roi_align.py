"""RoIAlign: regions of feature maps at a fixed size, without rounding."""

from collections.abc import Sequence

import tensorflow as tf

# A box with at least twice this side, in pixels, is taken from the second level, with
# four times the side from the third.
FINEST_SIDE = 56.0


def roi_align(features, boxes, image_indices, stride: float, size: int):
    """The mean of 2x2 bilinear samples in each of `size x size` cells of boxes.

    `tf.image.crop_and_resize` samples on the same grid, if its box goes from the
    first sample to the last one. Behind the border of the map it gives 0 at once,
    where the definition repeats the border for one more position: so the map is
    padded by that.

    Args:
        features: Maps `(batch, height, width, channels)`.
        boxes: float32 `(n, 4)`, in pixels of the image. They get no gradient.
        image_indices: int32 `(n,)`, which map each box is of.
        stride: Pixels of the image for each position.
        size: Cells along each side.

    Returns:
        float32 `(n, size, size, channels)`.

    Reference:

    - [Mask R-CNN](https://arxiv.org/abs/1703.06870) (He et al., ICCV 2017), as in
      torchvision with `sampling_ratio=2` and `aligned=True`
    """
    return _mean_2x2(_sample(features, boxes, image_indices, stride, size))


def pyramid_roi_align(
    pyramid: Sequence, strides: Sequence[int], boxes, image_indices, size: int
):
    """`roi_align`, for each box on the level that fits its size.

    Args:
        pyramid: The maps of each level, from fine to coarse.
        strides: Their strides.
        boxes: float32 `(n, 4)`, in pixels, at least one.
        image_indices: int32 `(n,)`, which image each box is of.
        size: Cells along each side.

    Returns:
        float32 `(n, size, size, channels)`.
    """
    levels = box_levels(boxes, len(pyramid))
    places, samples = [], []
    for level, (features, stride) in enumerate(zip(pyramid, strides, strict=True)):
        place = tf.where(levels == level)[:, 0]
        here = (tf.gather(boxes, place), tf.gather(image_indices, place))
        places.append(place)
        samples.append(_sample(features, *here, stride, size))
    order = tf.argsort(tf.concat(places, 0))
    # All at once: pooling can't do with the levels that have no box.
    return tf.gather(_mean_2x2(tf.concat(samples, 0)), order)


def box_levels(boxes, count: int):
    """Which of `count` levels each box `(n, 4)` is taken from, int32 `(n,)`."""
    sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    side = tf.sqrt(sides[:, 0] * sides[:, 1])
    level = tf.math.log(side / FINEST_SIDE + 1e-6) / tf.math.log(2.0)
    return tf.cast(tf.clip_by_value(tf.floor(level), 0, count - 1), tf.int32)


def _sample(features, boxes, image_indices, stride, size):
    features = tf.cast(features, tf.float32)
    features = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    last = tf.cast(tf.shape(features)[1:3] - 1, tf.float32)
    boxes = tf.stop_gradient(boxes) / stride
    low, high = boxes[:, 1::-1], boxes[:, :1:-1]
    # Two samples in a cell, in the middles of its halves. A position's value is at
    # its middle, half a position from its corner; and one position is padding.
    margin = (high - low) / (4 * size)
    start = low + margin + 0.5
    end = high - margin + 0.5
    return tf.image.crop_and_resize(
        features,
        tf.concat([start / last, end / last], -1),
        tf.cast(image_indices, tf.int32),
        (2 * size, 2 * size),
    )


def _mean_2x2(samples):
    return tf.nn.avg_pool2d(samples, 2, 2, "VALID")
