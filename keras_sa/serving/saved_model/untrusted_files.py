"""Image files to tensors inside a graph, whatever somebody sends."""

import tensorflow as tf

from keras_sa.data.decoding import decode as decode_image
from keras_sa.serving.saved_model.gif import first_frame
from keras_sa.serving.saved_model.limits import ImageLimits

MAX_JPEG_SCANS = 100


def decode_valid(image_bytes, transform, shape, limits: ImageLimits):
    """Decodes what can be decoded of a batch of image files.

    A map over the batch would fail as a whole on the first bad image. A dataset of
    the whole batch can drop single elements; each carries its index.

    Args:
        image_bytes: A string tensor `(batch,)` of JPEG, PNG, GIF, BMP or WebP files.
        transform: A function of one decoded uint8 image `(height, width, 3)`.
        shape: The static shape of what `transform` returns, a float32 tensor.
        limits: What is refused unseen.

    Returns:
        `(images, indices)`: the transformed images, and where in the batch each was.
        At least one row: if no image is valid, a row of zeros with the index -1.
    """

    def decode(index, data):
        pixels = decode_image(checked(data, limits))
        return index, tf.ensure_shape(transform(pixels), shape)

    count = tf.size(image_bytes, out_type=tf.int64)
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    images = files.map(decode, num_parallel_calls=16, deterministic=True)
    # The last row makes sure that there is a batch to take.
    nothing = (tf.constant([-1], tf.int64), tf.zeros((1, *shape)))
    images = images.ignore_errors().concatenate(
        tf.data.Dataset.from_tensor_slices(nothing)
    )
    indices, images = images.batch(count + 1).get_single_element()
    rows = tf.maximum(tf.shape(indices)[0] - 1, 1)
    return images[:rows], indices[:rows]


def checked(data, limits: ImageLimits):
    """The file if it is within the limits, else an empty string.

    Only the five formats whose size can be read here pass. Of a GIF only the first
    frame remains.

    Args:
        data: A string scalar.
        limits: What is refused.

    Returns:
        A string scalar. Reading the size of a broken JPEG raises.
    """
    small = tf.strings.length(data) <= limits.max_bytes
    data = tf.where(small, data, "")
    head = _Header(data)
    cases = [
        (head.has(0, b"\xff\xd8\xff"), lambda: _jpeg_size(data)),
        (head.has(0, b"\x89PNG\r\n\x1a\n"), lambda: head.big(20, 16, size=4)),
        (head.has(0, b"BM"), lambda: _bmp_size(head)),
        (head.has(0, b"RIFF") & head.has(8, b"WEBP"), lambda: _webp_size(head)),
    ]
    size = tf.case(cases, default=lambda: tf.zeros(2, tf.int64), exclusive=True)
    data, size = tf.cond(
        head.has(0, b"GIF8"), lambda: first_frame(data), lambda: (data, size)
    )
    # Both are at most 2**32: the product fits.
    pixels = tf.reduce_prod(tf.cast(size, tf.float64))
    accepted = tf.reduce_all(size > 0) & (pixels <= limits.max_pixels)
    return tf.where(accepted, data, "")


class _Header:
    """The first bytes of a file, zeros after its end."""

    def __init__(self, data):
        head = tf.io.decode_raw(
            tf.strings.substr(data, 0, 64)[tf.newaxis], tf.uint8, fixed_length=64
        )
        self.bytes = tf.cast(head[0], tf.int64)

    def has(self, position, signature):
        there = self.bytes[position : position + len(signature)]
        return tf.reduce_all(there == tf.constant(list(signature), tf.int64))

    def little(self, *positions, size):
        """Little-endian integers of `size` bytes."""
        weights = tf.constant([256**i for i in range(size)], tf.int64)
        fields = [self.bytes[p : p + size] for p in positions]
        return tf.reduce_sum(tf.stack(fields) * weights, axis=1)

    def big(self, *positions, size):
        """Big-endian integers of `size` bytes."""
        weights = tf.constant([256**i for i in range(size)][::-1], tf.int64)
        fields = [self.bytes[p : p + size] for p in positions]
        return tf.reduce_sum(tf.stack(fields) * weights, axis=1)


def _jpeg_size(data):
    content = tf.io.decode_raw(data, tf.uint8)
    # A progressive file can repeat cheap scans and cost minutes.
    scans = tf.math.count_nonzero((content[:-1] == 0xFF) & (content[1:] == 0xDA))
    size = tf.cast(tf.image.extract_jpeg_shape(data)[:2], tf.int64)
    return tf.where(scans <= MAX_JPEG_SCANS, size, 0)


def _bmp_size(head):
    size = head.little(22, 18, size=4)
    # A negative height means that the rows go from top to bottom.
    size = tf.where(size >= 2**31, 2**32 - size, size)
    header, compression = tf.unstack(head.little(14, 30, size=4))
    bits = head.little(28, size=2)[0]
    # TensorFlow ignores what else there is.
    plain = (compression == 0) & ((bits == 8) | (bits == 24) | (bits == 32))
    masks = (compression == 3) & (bits == 32)
    return tf.where((header >= 40) & (plain | masks), size, 0)


def _webp_size(head):
    lossless = head.little(21, size=4)[0]
    animated = head.bytes[20] & 2
    canvas = tf.where(animated == 0, 1 + head.little(27, 24, size=3), 0)
    cases = [
        (head.has(12, b"VP8 "), lambda: head.little(28, 26, size=2) & 0x3FFF),
        (
            head.has(12, b"VP8L"),
            lambda: 1 + (tf.stack([lossless // 2**14, lossless]) & 0x3FFF),
        ),
        (head.has(12, b"VP8X"), lambda: canvas),
    ]
    return tf.case(cases, default=lambda: tf.zeros(2, tf.int64), exclusive=True)
