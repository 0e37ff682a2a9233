"""The first frame of a GIF, found inside a graph."""

import tensorflow as tf

# The decoder reads all frames, whatever is wanted of them, and accepts a frame that
# ends in the middle. So the file is walked through first and cut after the frame.
MAX_STEPS = 1000
MAX_RUN = 256

BLOCK, EXTENSION, FRAME, DONE, BROKEN = range(5)


def first_frame(data):
    """Cuts a GIF after its first frame.

    Args:
        data: A string scalar that begins with a GIF signature.

    Returns:
        `(data, size)`: the file with one frame, and `(height, width)` as int64, the
        larger one of canvas and frame. The size is `(0, 0)` for a broken file or
        one of more than `MAX_STEPS` runs of blocks.
    """
    content = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    # Zeros after the end: fields can be read there, and an end is an error.
    content = tf.concat([content, tf.zeros(16, tf.int32)], 0)
    length = tf.strings.length(data)

    def field(position):
        return content[position] + 256 * content[position + 1]

    def after_palette(position, flags):
        colours = tf.bitwise.left_shift(2, flags & 7)
        return position + tf.where(flags & 0x80 > 0, 3 * colours, 0)

    def block(position, height, width):
        kind = content[position]
        is_frame = kind == 0x2C
        state = tf.where(is_frame, FRAME, tf.where(kind == 0x21, EXTENSION, BROKEN))
        # A frame has a descriptor, a palette and the byte of the code size.
        behind = after_palette(position + 10, content[position + 9]) + 1
        height = tf.where(is_frame, tf.maximum(height, field(position + 7)), height)
        width = tf.where(is_frame, tf.maximum(width, field(position + 5)), width)
        return tf.where(is_frame, behind, position + 2), state, height, width

    def sub_blocks(position, state, height, width):
        size = content[position]
        # Encoders write runs of equally long blocks: one step for a run.
        end = position + MAX_RUN * (size + 1)
        equal = tf.cast(content[position : end : size + 1] == size, tf.int32)
        run = tf.reduce_sum(tf.math.cumprod(equal))
        following = tf.where(state == FRAME, DONE, BLOCK)
        ended = size == 0
        position += tf.where(ended, 1, run * (size + 1))
        return position, tf.where(ended, following, state), height, width

    def step(position, state, height, width):
        position, state, height, width = tf.cond(
            state == BLOCK,
            lambda: block(position, height, width),
            lambda: sub_blocks(position, state, height, width),
        )
        return position, tf.where(position > length, BROKEN, state), height, width

    start = after_palette(13, content[10])
    canvas = (field(8), field(6))
    end, state, height, width = tf.while_loop(
        lambda position, state, *_: (state < DONE) & (position < length),
        step,
        (start, tf.constant(BLOCK), *canvas),
        maximum_iterations=MAX_STEPS,
    )
    size = tf.where(state == DONE, tf.stack([height, width]), 0)
    trailer = tf.constant(b"\x3b")
    return tf.strings.substr(data, 0, end) + trailer, tf.cast(size, tf.int64)
