"""The crop with which networks are evaluated and served."""

CROP_RATIO = 0.875


def evaluation_crop(images, size: tuple[int, int], crop_ratio: float = CROP_RATIO):
    """Resizes the short side and cuts out the centre, in one step.

    For 224x224 pixels and the default ratio: short side 256, centre crop 224, as in
    the published evaluation. The resizing is bilinear with antialiasing and agrees
    with Pillow's (`Image.resize(..., BILINEAR)`, then a crop) up to Pillow's
    rounding to whole levels. Only the pixels of the crop are computed. To be used
    inside `tf.data` and `tf.function`; heights and widths may be unknown there.

    Args:
        images: A tensor `(height, width, channels)` or `(batch, height, width,
            channels)` of an integer or floating type.
        size: Height and width of the result.
        crop_ratio: The crop's part of the resized image, in 0..1. 1 only cuts what
            does not fit the aspect ratio of `size`.

    Returns:
        A float32 tensor of the same rank and value range with the height and width
        of `size`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> evaluation_crop(tf.zeros((375, 500, 3), "uint8"), (224, 224)).shape
    TensorShape([224, 224, 3])
    """
    import tensorflow as tf

    if len(size) != 2 or min(size) < 1:
        raise ValueError(
            f"`size` must be a height and a width of at least 1. Received: size={size}"
        )
    check_crop_ratio(crop_ratio)
    images = tf.convert_to_tensor(images)
    rank = images.shape.rank
    if rank not in (3, 4):
        raise ValueError(
            "`images` must have the rank 3 or 4: (height, width, channels) with or "
            f"without a batch axis. Received: shape={images.shape}"
        )
    if images.dtype not in (tf.uint8, tf.float32):
        images = tf.cast(images, tf.float32)
    batch = images if rank == 4 else images[tf.newaxis]
    before = tf.cast(tf.shape(batch)[1:3], tf.float32)
    crop = tf.constant(size, tf.float32)
    target = tf.constant([round(length / crop_ratio) for length in size], tf.float32)
    # The side that is shorter in proportion gets the target length; the other one
    # keeps the aspect ratio, rounded down as torchvision does it. The small number
    # keeps an exact quotient from being rounded down to the integer below.
    factor = tf.reduce_max(target / before)
    after = tf.maximum(tf.floor(before * factor + 1e-3), target)
    offset = tf.round((after - crop) / 2)
    batch = tf.raw_ops.ScaleAndTranslate(
        images=batch,
        size=tf.constant(size, tf.int32),
        scale=after / before,
        translation=-offset,
        kernel_type="triangle",
        antialias=True,
    )
    batch.set_shape((None, *size, None))
    return batch if rank == 4 else batch[0]


def check_crop_ratio(crop_ratio: float) -> None:
    """Refuses a crop that is empty or larger than the image.

    Raises:
        ValueError: If it is not in 0..1.
    """
    if not 0 < crop_ratio <= 1:
        raise ValueError(
            f"`crop_ratio` must be in 0..1. Received: crop_ratio={crop_ratio}"
        )
