"""The resizing and padding with which detectors see images."""

# Images are padded to a multiple of this, so that all levels of a pyramid fit.
MULTIPLE = 32


def resized_shape(height, width, short_side: int, long_side: int):
    """Height and width that keep the aspect ratio, up to rounding.

    The short side gets its length, unless the long side would be longer than
    allowed; then that gets its length.

    Args:
        height: Of the image: a number or an integer scalar tensor.
        width: Likewise.
        short_side: See above, in pixels.
        long_side: See above, at least `short_side`.

    Returns:
        An int32 tensor `(2,)`.

    Example:

    >>> resized_shape(480, 640, 800, 1333).numpy()
    array([ 800, 1067], dtype=int32)
    """
    import tensorflow as tf

    shape = tf.cast(tf.stack([height, width]), tf.float32)
    factor = tf.minimum(
        short_side / tf.reduce_min(shape), long_side / tf.reduce_max(shape)
    )
    after = tf.floor(shape * factor + 0.5)
    return tf.cast(tf.clip_by_value(after, 1, long_side), tf.int32)


def resize_within(image, short_side: int, long_side: int):
    """Resizes an image as `resized_shape` says: bilinear, with antialiasing.

    Args:
        image: `(height, width, channels)`, of an integer or floating type. Height
            and width may be unknown.
        short_side: See `resized_shape`.
        long_side: See `resized_shape`.

    Returns:
        A float32 tensor of the same value range.
    """
    import tensorflow as tf

    shape = tf.shape(image)
    size = resized_shape(shape[0], shape[1], short_side, long_side)
    resized = tf.image.resize(image, size, antialias=True)
    return tf.cast(resized, tf.float32)


def padded_size(size):
    """Heights and widths of images with the padding that each needs by itself.

    Args:
        size: Heights and widths without it: an array or a tensor of integers.
    """
    return -(-size // MULTIPLE) * MULTIPLE
