"""The crop of evaluation and serving is the published one."""

import numpy as np
import pytest
import tensorflow as tf
from needed import needed

from keras_sa.utils.evaluation_crop import evaluation_crop


def photo(height, width, seed=0):
    """A smooth random image: noise would make every kernel look wrong."""
    noise = np.random.default_rng(seed).uniform(0, 255, (8, 8, 3))
    return tf.image.resize(noise, (height, width), "bicubic").numpy().clip(0, 255)


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (60, 41), (3, 300), (1, 1)])
def test_it_is_resize_then_centre_crop(shape):
    image = needed("PIL.Image")
    pixels = photo(*shape).round().astype("uint8")
    height, width = shape
    short = min(shape)
    resized = (
        256 if height == short else int(256 * height / width),
        256 if width == short else int(256 * width / height),
    )
    top, left = (round((length - 224) / 2) for length in resized)
    expected = image.fromarray(pixels).resize(resized[::-1], image.Resampling.BILINEAR)
    expected = np.asarray(expected, "float32")[top : top + 224, left : left + 224]
    actual = evaluation_crop(pixels, (224, 224)).numpy()
    # Pillow rounds to whole levels after each of the two axes.
    np.testing.assert_allclose(actual, expected, atol=1.01)


def test_batches_unknown_sizes_and_types_give_the_same():
    images = np.stack([photo(50, 70), photo(50, 70, seed=1)]).astype("float32")
    unknown = tf.TensorSpec((None, None, None, 3), tf.float32)
    crop = tf.function(
        lambda x: evaluation_crop(x, (32, 48)), input_signature=[unknown]
    )
    actual = crop(images)
    assert actual.shape == (2, 32, 48, 3)
    assert actual.dtype == tf.float32
    for image, result in zip(images, actual, strict=True):
        # The same operation on the same numbers, whatever the batch.
        np.testing.assert_allclose(
            evaluation_crop(tf.cast(image, tf.float64), (32, 48)), result, atol=1e-3
        )


def test_ratio_one_keeps_an_image_of_the_right_size():
    image = photo(32, 48)
    np.testing.assert_allclose(
        evaluation_crop(image, (32, 48), crop_ratio=1.0), image, atol=1e-3
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"images": np.zeros((5, 5)), "size": (4, 4)},
        {"images": np.zeros((5, 5, 3)), "size": (0, 4)},
        {"images": np.zeros((5, 5, 3)), "size": (4, 4), "crop_ratio": 1.5},
    ],
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        evaluation_crop(**arguments)
