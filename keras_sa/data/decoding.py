"""From the bytes of an image file to pixels of the network's size."""

from keras_sa.data.orientation import exif_orientation
from keras_sa.data.orientation import may_be_turned
from keras_sa.data.orientation import stored_window
from keras_sa.data.orientation import upright
from keras_sa.data.orientation import upright_size
from keras_sa.data.random_crop import sample_crop

# The scales at which libjpeg can decode: 1 / ratio.
JPEG_RATIOS = (1, 2, 4, 8)


def decode(contents):
    """Decodes a JPEG, PNG, GIF (first frame), BMP or WebP image, as a person sees it.

    Args:
        contents: The file's bytes, a scalar string tensor.

    Returns:
        A uint8 tensor `(height, width, 3)`, with the orientation of the file's EXIF
        data applied. Grey images are repeated, transparency is ignored, 16 bits become
        8.

    Raises:
        tf.errors.InvalidArgumentError: If it is another format, damaged or
            truncated.
    """
    return upright(decode_stored(contents), exif_orientation(contents))


def decode_stored(contents):
    """Decodes an image as its file stores it, without its orientation: see `decode`."""
    import tensorflow as tf

    def decode_other():
        return tf.case(
            [
                (_starts_with(contents, b"BM"), lambda: _decode_bmp(contents)),
                (
                    _is_transparent_webp(contents),
                    lambda: _decode_transparent_webp(contents),
                ),
            ],
            default=lambda: tf.io.decode_image(
                contents, channels=3, expand_animations=False
            ),
        )

    image = tf.cond(_is_jpeg(contents), lambda: _decode_jpeg(contents), decode_other)
    image.set_shape((None, None, 3))
    return image


def decoder_message(error) -> str:
    """What a decoder said in a `tf.errors.OpError`; the rest speaks of the graph."""
    return error.message.split("}} ")[-1].split(" [Op:")[0].strip()


def decode_training_crop(contents, shapes, position, size, ratio):
    """Decodes a random resized crop of the upright picture, and no more of a JPEG.

    Args:
        contents: The file's bytes, a scalar string tensor.
        shapes: See `sample_crop`.
        position: See `sample_crop`.
        size: Height and width of the result.
        ratio: Range of the crop's width by its height.

    Returns:
        A float32 tensor `(*size, 3)` in 0..255.

    Raises:
        tf.errors.InvalidArgumentError: As `decode`; also when only a part of the
            image that is outside of the crop is missing.
    """
    import tensorflow as tf

    def whole():
        return resized_crop(decode(contents), shapes, position, size, ratio)

    def part():
        return tf.cond(
            may_be_turned(contents),
            # TensorFlow visits the operations of a branch that is not taken, too, for
            # every image. A function that is called is one of them.
            lambda: tf.function(
                turned_part, experimental_attributes={"_noinline": True}
            )(contents, shapes, position),
            lambda: _decode_part(contents, shapes, position, size, ratio),
        )

    def turned_part(contents, shapes, position):
        orientation = exif_orientation(contents)
        return _decode_part(contents, shapes, position, size, ratio, orientation)

    # A decoder that stops below the crop's last row doesn't see that a file is
    # truncated. Without the end marker it has to decode everything.
    complete = tf.strings.substr(contents, -2, 2) == b"\xff\xd9"
    image = tf.cond(_is_jpeg(contents) & complete, part, whole)
    image.set_shape((*size, 3))
    return image


def resized_crop(image, shapes, position, size, ratio):
    """The random resized crop of an image that is decoded already."""
    import tensorflow as tf

    window = sample_crop(shapes, position, tf.shape(image)[:2], ratio)
    top, left, height, width = tf.unstack(window)
    crop = image[top : top + height, left : left + width]
    return tf.image.resize(crop, size, antialias=True)


def _decode_part(contents, shapes, position, size, ratio, orientation=None):
    """The crop of a JPEG; `orientation` is `None` where nothing is to be turned."""
    import tensorflow as tf

    stored = tf.io.extract_jpeg_shape(contents)[:2]
    extent = stored if orientation is None else upright_size(stored, orientation)
    window = sample_crop(shapes, position, extent, ratio)
    # libjpeg scales while it decodes, which is cheaper and a better filter
    # than dropping pixels later. Never below the size that is wanted.
    shrinks = tf.reduce_min(window[2:] // tf.constant(size))
    step = tf.reduce_sum(tf.cast(shrinks >= JPEG_RATIOS[1:], tf.int32))
    if orientation is not None:
        window = stored_window(window, extent, orientation)
    crop = tf.switch_case(
        step,
        [lambda r=r: _decode_window(contents, stored, window, r) for r in JPEG_RATIOS],
    )
    if orientation is not None:
        crop = upright(crop, orientation)
    return tf.image.resize(tf.cast(crop, tf.float32), size)


def _starts_with(contents, magic):
    import tensorflow as tf

    return tf.strings.substr(contents, 0, len(magic)) == magic


def _is_jpeg(contents):
    return _starts_with(contents, b"\xff\xd8\xff")


def _is_transparent_webp(contents):
    """A still WebP image with transparency, which `decode_image` refuses."""
    import tensorflow as tf

    # Files may be shorter than a header.
    head = tf.strings.join([tf.strings.substr(contents, 0, 32), b"\0" * 32])

    def has(position, bit):
        byte = tf.strings.substr(head, position, 1)
        return tf.reduce_any(
            tf.bitwise.bitwise_and(tf.io.decode_raw(byte, "uint8"), bit) > 0
        )

    # The flags of the extended header, and of a lossless picture's own one.
    kind = tf.strings.substr(head, 12, 4)
    extended = (kind == b"VP8X") & has(20, 0x10) & ~has(20, 0x02)
    lossless = (kind == b"VP8L") & has(24, 0x10)
    is_webp = tf.strings.substr(head, 8, 4) == b"WEBP"
    return _starts_with(head, b"RIFF") & is_webp & (extended | lossless)


def _decode_transparent_webp(contents):
    import tensorflow as tf

    # Its first axis counts pictures.
    return tf.image.decode_webp(contents, channels=4)[0, :, :, :3]


def _decode_jpeg(contents):
    import tensorflow as tf

    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_window(contents, extent, window, ratio):
    import tensorflow as tf

    if ratio > 1:
        # libjpeg's scaled image has this shape, and the window is counted in it.
        scaled = (extent + ratio - 1) // ratio
        offset, shape = tf.split(window // ratio, 2)
        window = tf.concat([offset, tf.minimum(shape, scaled - offset)], 0)
    return tf.raw_ops.DecodeAndCropJpeg(
        contents=contents,
        crop_window=window,
        channels=3,
        ratio=ratio,
        dct_method="INTEGER_ACCURATE",
    )


def _decode_bmp(contents):
    """As TensorFlow, which however ignores the palette of 8-bit images."""
    import tensorflow as tf

    image = tf.io.decode_bmp(contents)
    header = tf.cast(
        tf.io.decode_raw(tf.strings.substr(contents, 0, 54), "uint8"), "int32"
    )

    def palette():
        start = 14 + header[14] + 256 * header[15]
        colors = tf.io.decode_raw(tf.strings.substr(contents, start, 4 * 256), "uint8")
        colors = tf.reshape(colors, (-1, 4))[:, 2::-1]
        return tf.gather(colors, tf.cast(image[:, :, 0], tf.int32))

    return tf.cond(tf.shape(image)[2] == 1, palette, lambda: image[:, :, :3])
