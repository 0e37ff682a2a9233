"""What a network takes: the size of its images and their normalisation."""

from collections.abc import Callable
from collections.abc import Sequence

import keras

from keras_sa.utils.input_scaling import takes_pixels
from keras_sa.utils.normalization import IMAGENET_MEAN
from keras_sa.utils.normalization import IMAGENET_STD
from keras_sa.utils.normalization import normalized
from keras_sa.utils.normalization import scale_and_shift


def image_shape(
    model: keras.Model, image_size: int | Sequence[int] | None = None
) -> tuple[int, int, int]:
    """Height, width and channels of the images that are served.

    Args:
        model: A model with one input, in the order of
            `keras.config.image_data_format()`.
        image_size: Height and width, or one number for both, for inputs of free size.

    Returns:
        Three integers.

    Raises:
        ValueError: If the input is not an image of 1 or 3 channels, the size is
            missing, or another one than the model's.
    """
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4:
        raise ValueError(
            f"The input of `model` must be a batch of images. Received: shape={shape}"
        )
    if keras.config.image_data_format() == "channels_last":
        _, height, width, channels = shape
    else:
        _, channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(
            "Image files can be served to models with 1 or 3 channels. "
            f"Received: shape={shape} in {keras.config.image_data_format()} order"
        )
    if image_size is None:
        if height is None or width is None:
            raise ValueError(
                "The input of `model` is of free size: say with `image_size` which "
                f"height and width to serve. Received: shape={shape}"
            )
        return height, width, channels
    size = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or any(
        length not in (None, given) or given < 1
        for length, given in zip((height, width), size, strict=True)
    ):
        raise ValueError(
            "`image_size` must be a height and a width that the model takes. "
            f"Received: image_size={image_size} and the shape {shape}"
        )
    return *size, channels


def normalization(
    channels: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    model: keras.Model | None = None,
) -> Callable:
    """The function from images in 0..255 to a network's input.

    Args:
        channels: Number of channels.
        mean: Mean of each channel in 0..1; by default ImageNet's for 3 channels.
        std: Standard deviation of each channel, likewise.
        model: The network. One that normalises images by itself gets them as they
            are.

    Returns:
        A function of a float32 batch `(batch, height, width, channels)`. It gives
        `(x / 255 - mean) / std` in the order of `keras.config.image_data_format()`.

    Raises:
        ValueError: If `mean` and `std` don't fit the channels or the model, or are
            missing.
    """
    channels_first = keras.config.image_data_format() == "channels_first"

    def ordered(images):
        return keras.ops.transpose(images, (0, 3, 1, 2)) if channels_first else images

    if model is not None and takes_pixels(model):
        if mean is not None or std is not None:
            raise ValueError(
                "The model normalises images by itself and takes them in 0..255, so "
                "`mean` and `std` would be applied twice. Received: "
                f"mean={mean}, std={std}, model={model.name!r}"
            )
        return ordered
    if mean is None and std is None and channels == 3:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    if mean is None or std is None or len(mean) != channels:
        raise ValueError(
            "`mean` and `std` must be given for other images than RGB, one number "
            f"for each channel. Received: mean={mean}, std={std}, {channels} channels"
        )
    scale_and_shift(mean, std)  # refuses what can't be
    return lambda images: ordered(normalized(images, mean, std))
