"""Images in 0..255 normalised by channel, of any shape."""

import numpy as np
import pytest
import tensorflow as tf

from keras_sa.utils.normalization import IMAGENET_MEAN
from keras_sa.utils.normalization import IMAGENET_STD
from keras_sa.utils.normalization import normalized

SHAPES = [(5, 7, 3), (2, 4, 6, 3), (0, 4, 6, 3), (1, 1, 3), (2, 3, 0, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("static", [True, False])
def test_every_channel_has_its_mean_and_deviation(shape, static):
    images = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    spec = tf.TensorSpec(shape if static else (None,) * len(shape))

    @tf.function(input_signature=[spec])
    def graph(images):
        normal = normalized(images, IMAGENET_MEAN, IMAGENET_STD)
        assert normal.shape.as_list() == [*spec.shape[:-1], 3]
        return normal

    expected = (images.astype("float64") / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(graph(images), expected, rtol=1e-5, atol=1e-5)


def test_one_channel():
    images = np.full((2, 2, 2, 1), 51.0, "float32")
    np.testing.assert_allclose(normalized(images, [0.1], [0.5]), 0.2, rtol=1e-5)
