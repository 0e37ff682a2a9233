"""Logs for TensorBoard, as TensorBoard reads them."""

import numpy as np
import pytest
import tensorflow as tf
from needed import needed

from keras_sa.data import load
from keras_sa.recipes.tensorboard import TensorBoardLog


@pytest.fixture
def log(tmp_path):
    needed("tensorboard")
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    data = load((images, np.arange(8) % 2), image_size=8, batch_size=4)
    return TensorBoardLog(tmp_path, data)


def logged(directory):
    """Steps and tags of everything that was written, and the images."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    scalars, pictures = {}, []
    for file in directory.iterdir():
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "images":
                    pictures += list(value.tensor.string_val)[2:]
                else:
                    scalar = float(tf.make_ndarray(value.tensor))
                    scalars.setdefault(value.tag, {})[event.step] = scalar
    return scalars, pictures


def test_epochs_of_two_stages_follow_each_other(log, tmp_path):
    log.on_train_begin()
    for loss, epoch in enumerate([0, 1, 0, 1, 2]):
        log.log(epoch, {"loss": loss, "learning_rate": 0.1, "images_per_second": 5.0})
    scalars, pictures = logged(tmp_path)
    assert scalars["loss"] == {1: 0.0, 2: 1.0, 3: 2.0, 4: 3.0, 5: 4.0}
    assert scalars.keys() == {"loss", "learning_rate", "images_per_second"}
    assert len(pictures) == 4
    # Examples of the input: images that are not of one colour.
    assert all(np.ptp(tf.io.decode_png(each)) == 255 for each in pictures)


def test_a_resumed_log_counts_on(log, tmp_path):
    log.set_state(3)
    log.on_train_begin()
    log.log(0, {"loss": 1.0})
    assert logged(tmp_path)[0]["loss"] == {4: 1.0}
    assert log.get_state() == 4
