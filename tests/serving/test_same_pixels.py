"""A file is the same pixels to evaluation, prediction, a quantiser and a server."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from needed import needed
from serving_samples import image_file
from serving_samples import photo

from keras_sa.data import image_files
from keras_sa.data import load
from keras_sa.data.evaluation_image import with_channels
from keras_sa.serving import CalibrationImages
from keras_sa.serving import export
from keras_sa.serving.image_input import normalization

MEAN, STD = {1: (0.4,), 3: (0.5, 0.4, 0.3)}, {1: (0.2,), 3: (0.2, 0.3, 0.25)}


def files():
    """JPEG and PNG, in grey and colours, upright and lying."""
    exif = needed("PIL.Image").Exif()
    exif[0x0112] = 6
    return {
        "colours.jpg": image_file(photo(70, 50), "JPEG", quality=90),
        "lying.jpg": image_file(photo(50, 70, seed=1), "JPEG", exif=exif),
        "colours.png": image_file(photo(33, 90, seed=2), "PNG"),
        "grey.png": image_file(photo(64, 64, seed=3)[..., 0], "PNG"),
    }


@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_file_is_the_same_pixels_everywhere(channels, tmp_path):
    photos = tmp_path / "photos" / "animals"
    photos.mkdir(parents=True)
    for name, contents in files().items():
        (photos / name).write_bytes(contents)
    images = keras.Input((24, 32, channels))
    # The features that are served are the network's input.
    pixels = keras.layers.Flatten()(images)
    model = keras.Model(images, keras.layers.Dense(2, activation="softmax")(pixels))
    mean, std = MEAN[channels], STD[channels]
    prepared = {
        "image_size": (24, 32),
        "channels": channels,
        "mean": mean,
        "std": std,
        "batch_size": 4,
        "crop_ratio": 0.8,
    }

    source = image_files(photos)
    predicted = load(source, "all", training=False, **prepared)
    names = [Path(file).name for file in source.files]
    folder = f"folder:{photos.parent}"
    evaluated = load(folder, "all", training=False, **prepared)
    calibration = CalibrationImages(
        model, photos, normalize=normalization(channels, mean, std), crop_ratio=0.8
    )
    path = export(model, tmp_path / "model", mean=mean, std=std, crop_ratio=0.8)
    served = tf.saved_model.load(str(path)).signatures["features"](
        image_bytes=tf.constant([files()[name] for name in names])
    )

    expected = next(iter(predicted.epoch()))[0].numpy()
    assert expected.std() > 0.3
    # Float32 arithmetic in another order, where 1 is about 60 levels of a pixel.
    close = {"rtol": 0, "atol": 1e-5}
    np.testing.assert_allclose(next(iter(evaluated.epoch()))[0], expected, **close)
    np.testing.assert_allclose(np.concatenate([*calibration]), expected, **close)
    features = served["features"].numpy().reshape(expected.shape)
    np.testing.assert_allclose(features, expected, **close)


def test_a_grey_picture_in_three_channels_stays_as_it_is():
    grey = tf.random.uniform((8, 8, 1), 0, 255, seed=0)
    there_and_back = with_channels(with_channels(grey, 3), 1)
    np.testing.assert_allclose(there_and_back, grey, rtol=1e-6)


def test_red_green_and_blue_have_their_parts_in_a_grey():
    colours = tf.reshape(tf.eye(3) * 255, (1, 3, 3))
    assert with_channels(colours, 1)[0, :, 0].numpy().tolist() == pytest.approx(
        [76.245, 149.685, 29.07], rel=1e-6
    )
