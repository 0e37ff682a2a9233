"""What a mask head should say about a proposal."""

import tensorflow as tf

from keras_sa.detection.heads import MASK_SIZE


def mask_targets(masks, boxes, proposals, size: int = MASK_SIZE):
    """Cuts masks that were cut by their own box out by another one.

    Args:
        masks: float32 `(n, m, m)`, the masks in their boxes.
        boxes: float32 `(n, 4)`, the boxes.
        proposals: float32 `(n, 4)`, the boxes to cut out.
        size: Cells along each side of the result.

    Returns:
        float32 `(n, size, size)`: 1 where the middle of the proposal's cell is in
        the mask, else 0. What is outside of the mask's box is 0.
    """
    cells = tf.cast(tf.shape(masks)[-1], tf.float32)
    # Zeros around, so that the mask ends at the border of its box.
    masks = tf.pad(masks, [[0, 0], [1, 1], [1, 1]])
    sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    low = (proposals[:, :2] - boxes[:, :2]) / sides * cells
    high = (proposals[:, 2:] - boxes[:, :2]) / sides * cells
    margin = (high - low) / (2 * size)
    # The middles of the first and the last cell; a value is at the middle of its
    # cell, and one cell is padding.
    start, end = low + margin + 0.5, high - margin + 0.5
    corners = tf.concat([start[:, ::-1], end[:, ::-1]], -1) / (cells + 1)
    cut = tf.image.crop_and_resize(
        masks[..., tf.newaxis],
        corners,
        tf.range(tf.shape(masks)[0]),
        (size, size),
    )
    return tf.cast(cut[..., 0] >= 0.5, tf.float32)
