"""What `input_shape` of the builders may be."""

from collections.abc import Sequence

import keras


def standardize_input_shape(
    input_shape: Sequence[int | None] | None,
    default_size: int | None,
    min_size: int,
) -> tuple[int | None, ...]:
    """Checks an image shape without the batch axis, or makes the default one.

    Args:
        input_shape: `(height, width, channels)`, or `(channels, height, width)`
            when `keras.config.image_data_format()` is `"channels_first"`. Height
            and width may be `None`. `None` for the default: RGB of `default_size`.
        default_size: Height and width of the default, `None` for any size.
        min_size: The smallest height and width that are allowed.

    Returns:
        The shape as a tuple.

    Raises:
        ValueError: If the rank is not 3, the channels are unknown or not positive,
            or a known height or width is under `min_size`.
    """
    channels_last = keras.config.image_data_format() == "channels_last"
    if input_shape is None:
        size = (default_size, default_size)
        return (*size, 3) if channels_last else (3, *size)
    shape = tuple(input_shape)
    layout = (
        "(height, width, channels)" if channels_last else ("(channels, height, width)")
    )
    if len(shape) != 3:
        raise ValueError(
            f"`input_shape` must be {layout}, without the batch axis. "
            f"Received: input_shape={shape}"
        )
    channels = shape[-1] if channels_last else shape[0]
    size = shape[:2] if channels_last else shape[1:]
    if channels is None or channels < 1:
        raise ValueError(
            "The number of channels in `input_shape` must be known and positive; "
            f"the layout is {layout}. Received: input_shape={shape}"
        )
    if any(length is not None and length < min_size for length in size):
        raise ValueError(
            f"Height and width in `input_shape` must be at least {min_size}, or None; "
            f"the layout is {layout}. Received: input_shape={shape}"
        )
    return shape
