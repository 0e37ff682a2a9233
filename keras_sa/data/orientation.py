"""The orientation in which a camera wants its picture to be seen."""

# Whether rows and columns are mirrored, after height and width are exchanged, which is
# so from 5 on. There is no orientation 0.
MIRRORED = (
    (False, False),
    (False, False),
    (False, True),
    (True, True),
    (True, False),
    (False, False),
    (False, True),
    (True, True),
    (True, False),
)
# What a damaged file could make of it.
MAX_SEGMENTS = 256
# No EXIF block of a JPEG is longer, and its first directory is at its beginning.
MAX_EXIF = 1 << 16
# "Exif\0\0" as numbers of two bytes.
EXIF_NAME = (0x4578, 0x6966, 0)
# Of a directory, which is in the order of its tags. The orientation's is a low one.
MAX_ENTRIES = 256


def exif_orientation(contents):
    """Reads the EXIF orientation of a JPEG, PNG or WebP file, in a graph.

    Args:
        contents: The file's bytes, a scalar string tensor. They may be damaged.

    Returns:
        An int32 scalar tensor in 1..8; 1 (as it is) where the file says nothing.
    """
    import tensorflow as tf

    def of_others():
        kind = _from(contents, 0, 12)
        is_png = tf.strings.regex_full_match(kind, r"\CPNG\C*")
        is_webp = tf.strings.regex_full_match(kind, r"RIFF\C{4}WEBP")
        parts = _parts(contents, tf.where(is_png, b"eXIf", b"EXIF"))
        # In WebP the chunk's length stands between, and sometimes a JPEG's name.
        block = _from(tf.concat([parts, [b""]], 0)[1], 0)
        mark = r"^\C{0,10}?(II\*\x00|MM\x00\*)"
        block = tf.strings.regex_replace(block, mark, r"\1")
        return _orientation_of(tf.where(is_png | is_webp, block, b""))

    def of_jpeg():
        return tf.cond(
            may_be_turned(contents),
            lambda: _orientation_of(_block_of_jpeg(contents)),
            lambda: tf.constant(1),
        )

    is_jpeg = tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"
    return tf.cond(is_jpeg, of_jpeg, of_others)


def may_be_turned(contents):
    """Whether a JPEG has an EXIF segment somewhere: a search, not a reading."""
    import tensorflow as tf

    return tf.size(_parts(contents, b"Exif\0\0")) > 1


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
        axes = tf.where(orientation >= 5, (1, 0, 2), (0, 1, 2))
        mirrored = tf.concat([tf.gather(MIRRORED, orientation), [False]], 0)
        return tf.raw_ops.Reverse(tensor=tf.transpose(image, axes), dims=mirrored)

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

    start, size = tf.split(window, 2)
    mirrored = tf.gather(MIRRORED, orientation)
    start = tf.where(mirrored, extent - start - size, start)
    window = tf.concat([start, size], 0)
    return tf.where(orientation >= 5, tf.gather(window, (1, 0, 3, 2)), window)


def _orientation_of(block):
    """The orientation in the first directory of a TIFF block."""
    import tensorflow as tf

    # Reads may be behind the end, but for those of the header.
    block = tf.strings.join([block, bytes(8)])
    mark = tf.strings.substr(block, 0, 4)
    little = mark == b"II*\0"

    def numbers(position, count, dtype, bytes_used):
        text = _from(block, position, bytes_used)
        return tf.where(
            little, *(_decoded(text, count, dtype, e) for e in (True, False))
        )

    start = tf.maximum(numbers(4, 1, tf.int32, 4)[0], 0)
    entries = tf.cast(numbers(start, 1, tf.uint16, 2)[0], tf.int32)
    table = numbers(start + 2, 6 * MAX_ENTRIES, tf.uint16, 12 * entries)
    tags, kinds, _, _, values, _ = tf.unstack(tf.reshape(table, (-1, 6)), axis=1)
    values = tf.cast(values, tf.int32)
    found = (tags == 0x0112) & (kinds == 3) & (values <= 8)
    value = tf.reduce_max(tf.where(found & (little | (mark == b"MM\0*")), values, 1))
    return tf.maximum(value, 1)


def _block_of_jpeg(contents):
    """The TIFF block of a JPEG's EXIF segment, or an empty string."""
    import tensorflow as tf

    def head_at(position):
        return _decoded(_from(contents, position, 10), 5, tf.uint16, False)

    def is_exif(head):
        # Its second number is its length.
        return tf.reduce_all(head * (1, 0, 1, 1, 1) == (0xFFE1, 0, *EXIF_NAME))

    def goes_on(_, head):
        # From the first scan on, what looks like a segment may be a picture's data.
        ends = tf.reduce_any(head[0] == (0xFFDA, 0xFFD9)) | is_exif(head)
        return (head[0] >= 0xFF00) & ~ends

    def following(position, head):
        # Between segments there may be any number of 0xFF.
        length = tf.where(head[0] == 0xFFFF, 1, 2 + tf.cast(head[1], tf.int32))
        return position + length, head_at(position + length)

    position, head = tf.while_loop(
        goes_on,
        following,
        (tf.constant(2), head_at(2)),
        maximum_iterations=MAX_SEGMENTS,
    )
    return tf.where(is_exif(head), _from(contents, position + 10), b"")


def _parts(contents, text):
    """What is before a text's first place and behind it, or all alone."""
    import tensorflow as tf

    return tf.raw_ops.StringSplitV2(input=[contents], sep=text, maxsplit=1).values


def _from(contents, position, length=MAX_EXIF):
    import tensorflow as tf

    return tf.strings.substr(
        contents, tf.minimum(position, tf.strings.length(contents)), length
    )


def _decoded(text, count, dtype, little_endian):
    """So many numbers, zeros after the end."""
    import tensorflow as tf

    return tf.io.decode_raw(
        text, dtype, little_endian=little_endian, fixed_length=count * dtype.size
    )
