"""The orientation in which a camera wants its picture to be seen."""

# What a damaged file could make of it.
MAX_SEGMENTS = 256
# No EXIF block of a JPEG is longer, and its first directory is at its beginning.
MAX_EXIF = 1 << 16


def exif_orientation(contents):
    """Reads the EXIF orientation of a JPEG, PNG or WebP file, in a graph.

    Args:
        contents: The file's bytes, a scalar string tensor. They may be damaged.

    Returns:
        An int32 scalar tensor in 1..8; 1 (as it is) where the file says nothing.
    """
    import tensorflow as tf

    head = _bytes_of(contents, 0, 12)
    cases = [
        (_are(head[:3], b"\xff\xd8\xff"), lambda: _exif_of_jpeg(contents)),
        (_are(head[:4], b"\x89PNG"), lambda: _after(contents, b"eXIf")),
        (
            _are(head[:4], b"RIFF") & _are(head[8:], b"WEBP"),
            # The chunk's length stands between.
            lambda: tf.strings.regex_replace(
                _from(_after(contents, b"EXIF"), 4), "^Exif\0\0", ""
            ),
        ),
    ]
    exif = tf.case(cases, default=lambda: tf.constant(b""))
    return tf.cond(
        tf.strings.length(exif) > 0,
        lambda: _orientation_of(exif),
        lambda: tf.constant(1),
    )


def upright(image, orientation):
    """Turns a picture as its orientation says.

    Args:
        image: `(height, width, 3)`, as the file stores it.
        orientation: See `exif_orientation`.

    Returns:
        The same, with height and width exchanged from orientation 5 on.
    """
    import tensorflow as tf

    def turned():
        seen = tf.cond(
            orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image
        )
        return tf.reverse(seen, tf.boolean_mask([0, 1], _mirrored(orientation)))

    image = tf.cond(orientation > 1, turned, lambda: image)
    image.set_shape((None, None, 3))
    return image


def upright_size(size, orientation):
    """Height and width after `upright`, of those before it or the other way round."""
    import tensorflow as tf

    return tf.where(orientation >= 5, size[::-1], size)


def stored_window(window, extent, orientation):
    """Where a window of the upright picture is in the stored one.

    Args:
        window: Top, left, height and width, an int32 tensor.
        extent: Height and width of the upright picture.
        orientation: See `exif_orientation`.

    Returns:
        Likewise, in the stored picture.
    """
    import tensorflow as tf

    start, size = window[:2], window[2:]
    start = tf.where(_mirrored(orientation), extent - start - size, start)
    return tf.concat([upright_size(part, orientation) for part in (start, size)], 0)


def _mirrored(orientation):
    """Whether rows and columns are mirrored, after height and width are exchanged."""
    import tensorflow as tf

    numbers = [[3, 4, 7, 8], [2, 3, 6, 7]]
    return tf.reduce_any(tf.equal(orientation, numbers), axis=1)


def _orientation_of(exif):
    """The orientation in the first directory of a TIFF block."""
    import tensorflow as tf

    head = _bytes_of(exif, 0, 8)
    little = _are(head[:4], b"II*\0")
    valid = little | _are(head[:4], b"MM\0*")

    def number(digits):
        digits = tf.where(little, tf.reverse(digits, [-1]), digits)
        # More than 31 bits are no place in a block of this length.
        digits = tf.cast(digits, tf.float32)
        places = [256.0**place for place in reversed(range(digits.shape[-1]))]
        value = tf.reduce_sum(digits * places, -1)
        return tf.cast(tf.minimum(value, MAX_EXIF), tf.int32)

    start = number(head[4:])
    entries = number(_bytes_of(exif, start, 2))
    table = tf.io.decode_raw(_from(exif, start + 2, 12 * entries), tf.uint8)
    table = tf.reshape(table[: tf.size(table) // 12 * 12], (-1, 12))
    tags, kinds, values = (number(table[:, at : at + 2]) for at in (0, 2, 8))
    found = valid & (tags == 0x0112) & (kinds == 3) & (values <= 8)
    return tf.maximum(tf.reduce_max(tf.where(found, values, 1)), 1)


def _exif_of_jpeg(contents):
    """The TIFF block of a JPEG's EXIF segment, or an empty string."""
    import tensorflow as tf

    def is_exif(head):
        return _are(head[:2], b"\xff\xe1") & _are(head[4:], b"Exif\0\0")

    def goes_on(_, head):
        # From the first scan on, what looks like a segment may be a picture's data.
        segment = (head[0] == 0xFF) & (head[1] != 0xDA) & (head[1] != 0xD9)
        return segment & ~is_exif(head)

    def following(position, head):
        length = 2 + 256 * tf.cast(head[2], tf.int32) + tf.cast(head[3], tf.int32)
        # Between segments there may be any number of 0xFF.
        position += tf.where(head[1] == 0xFF, 1, length)
        return position, _bytes_of(contents, position, 10)

    def found():
        position, head = tf.while_loop(
            goes_on,
            following,
            (tf.constant(2), _bytes_of(contents, 2, 10)),
            maximum_iterations=MAX_SEGMENTS,
        )
        return tf.where(is_exif(head), _from(contents, position + 10), b"")

    # A search is cheaper than the segments, at which most need no look.
    return tf.cond(_has(contents, b"Exif\0\0"), found, lambda: tf.constant(b""))


def _has(contents, text):
    import tensorflow as tf

    return tf.size(_parts(contents, text)) > 1


def _after(contents, text):
    """What follows a text at its first place, or an empty string."""
    import tensorflow as tf

    parts = _parts(contents, text)
    return _from(tf.concat([parts, [b""]], 0)[1], 0)


def _parts(contents, text):
    import tensorflow as tf

    return tf.raw_ops.StringSplitV2(input=[contents], sep=text, maxsplit=1).values


def _from(contents, position, length=MAX_EXIF):
    import tensorflow as tf

    return tf.strings.substr(
        contents, tf.minimum(position, tf.strings.length(contents)), length
    )


def _bytes_of(contents, position, count):
    """uint8 `(count,)`, with zeros after the end."""
    import tensorflow as tf

    part = _from(contents, position, count)
    return tf.io.decode_raw(part[tf.newaxis], tf.uint8, fixed_length=count)[0]


def _are(values, text):
    import tensorflow as tf

    return tf.reduce_all(values == tf.constant(list(text), tf.uint8))
