"""Random resized crops: which part of an image is cut out."""

import math

ATTEMPTS = 10
# The random numbers that one crop needs.
DRAWS = 2 * ATTEMPTS + 2


def crop_shapes(draws, scale: tuple[float, float], ratio: tuple[float, float]):
    """What can be known of crops before their images are: shapes relative to them.

    Args:
        draws: A float tensor `(..., DRAWS)` of uniform random numbers in 0..1.
        scale: Range of the crop's part of the area.
        ratio: Range of the crop's width by its height.

    Returns:
        A float tensor `(..., ATTEMPTS, 2)`: heights and widths in units of the
        square root of the image's area.
    """
    import tensorflow as tf

    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    areas, ratios = draws[..., :ATTEMPTS], draws[..., ATTEMPTS : 2 * ATTEMPTS]
    side = tf.sqrt(scale[0] + areas * (scale[1] - scale[0]))
    stretch = tf.exp((log_low + ratios * (log_high - log_low)) / 2)
    return tf.stack([side / stretch, side * stretch], -1)


def sample_crop(shapes, position, extent, ratio: tuple[float, float]):
    """Draws the window of a random resized crop.

    The published distribution: the area is uniform in `scale`, the logarithm of the
    aspect ratio is uniform in `ratio`, the first of ten attempts that fits into the
    image is taken, and if none fits, the largest central window whose aspect ratio
    is allowed.

    Args:
        shapes: One image's part of what `crop_shapes` returns.
        position: The last two of the image's draws.
        extent: The image's height and width, an int32 tensor `(2,)`.
        ratio: Range of the width by the height.

    Returns:
        An int32 tensor: top, left, height and width of the window.
    """
    import tensorflow as tf

    extent = tf.cast(extent, tf.float32)
    attempts = tf.round(shapes * tf.sqrt(tf.reduce_prod(extent)))
    largest = tf.round(extent[::-1] * [1 / ratio[0], ratio[1]])
    largest = tf.maximum(tf.minimum(largest, extent), 1.0)
    attempts = tf.concat([attempts, [largest]], 0)
    fits = tf.reduce_all((attempts >= 1) & (attempts <= extent), 1)
    first = tf.argmax(fits)
    # Fewer operations than indexing.
    window = tf.gather(attempts, first)
    room = extent - window
    offset = tf.where(first == ATTEMPTS, room / 2, position * (room + 1))
    # Rounding can make of a number just below 1 the 1 itself.
    offset = tf.minimum(tf.floor(offset), room)
    return tf.cast(tf.concat([offset, window], 0), tf.int32)
