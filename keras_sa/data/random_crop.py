"""Random resized crops: which part of an image is cut out."""

import math

ATTEMPTS = 10
# The numbers one call of `sample_crop` uses up.
DRAWS = 2 * ATTEMPTS + 2


def sample_crop(
    draws,
    height,
    width,
    scale: tuple[float, float],
    ratio: tuple[float, float],
):
    """Draws the window of a random resized crop.

    The published distribution: the area is uniform in `scale`, the logarithm of the
    aspect ratio is uniform in `ratio`, the first of ten attempts that fits into the
    image is taken, and if none fits, the largest central window whose aspect ratio
    is allowed.

    Args:
        draws: A float tensor `(DRAWS,)` of uniform random numbers in 0..1.
        height: The image's height, a scalar tensor.
        width: The image's width.
        scale: Range of the window's part of the area.
        ratio: Range of the width by the height.

    Returns:
        An int32 tensor: top, left, height and width of the window.
    """
    import tensorflow as tf

    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    areas, ratios = draws[:ATTEMPTS], draws[ATTEMPTS : 2 * ATTEMPTS]
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    side = tf.sqrt((scale[0] + areas * (scale[1] - scale[0])) * height * width)
    stretch = tf.exp((log_low + ratios * (log_high - log_low)) / 2)
    heights, widths = tf.round(side / stretch), tf.round(side * stretch)
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    # One more attempt, which always fits: the largest central window.
    widest = tf.clip_by_value(tf.round(height * ratio[1]), 1, width)
    highest = tf.clip_by_value(tf.round(width / ratio[0]), 1, height)
    attempt = tf.argmax(tf.concat([fits, [True]], 0))
    window = tf.stack(
        [
            tf.concat([heights, [highest]], 0)[attempt],
            tf.concat([widths, [widest]], 0)[attempt],
        ]
    )
    room = tf.stack([height, width]) - window
    offset = tf.where(
        attempt == ATTEMPTS,
        tf.floor(room / 2),
        tf.minimum(tf.floor(draws[-2:] * (room + 1)), room),
    )
    return tf.cast(tf.concat([offset, window], 0), tf.int32)
