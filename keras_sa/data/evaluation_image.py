"""From a decoded picture to the pixels that a network is evaluated and served with."""

from keras_sa.utils.evaluation_crop import evaluation_crop

# Rec. 601's parts of red, green and blue in a grey, as Pillow's and libjpeg's. They
# add up to 1, so that a grey picture in three channels stays the one that it is; those
# of `tf.image.rgb_to_grayscale` don't.
LUMA = (0.299, 0.587, 0.114)


def evaluation_image(pixels, shape: tuple[int, int, int], crop_ratio: float):
    """The centre crop of a picture, in the channels that a network takes.

    The evaluation of a training, `keras-sa predict`, the images of a quantiser and the
    signatures of an exported classifier all see a file like this; what is left to do is
    the normalisation.

    Args:
        pixels: A tensor `(height, width, 1 or 3)`, such as of `decode`.
        shape: Height, width and channels of the result.
        crop_ratio: See `evaluation_crop`.

    Returns:
        A float32 tensor of this shape in the value range of `pixels`.
    """
    height, width, channels = shape
    return with_channels(evaluation_crop(pixels, (height, width), crop_ratio), channels)


def with_channels(image, channels: int):
    """A picture in grey or RGB, whichever it was.

    Args:
        image: A float32 tensor `(height, width, 1 or 3)`.
        channels: 1 or 3.
    """
    import tensorflow as tf

    if image.shape[-1] == channels:
        return image
    if channels == 1:
        return tf.reduce_sum(image * tf.constant(LUMA), -1, keepdims=True)
    return tf.image.grayscale_to_rgb(image)
