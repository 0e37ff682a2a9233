"""Labels out of range are named, with the classes of the model and of the data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.data import load
from keras_sa.training import fit

IMAGES = np.zeros((6, 4, 4, 3), np.uint8)


def compiled(classes):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, "softmax" if classes > 1 else "sigmoid"),
        ],
        name="tiny",
    )
    loss = "sparse_categorical" if classes > 1 else "binary"
    model.compile("sgd", f"{loss}_crossentropy")
    return model


@pytest.mark.parametrize("which", ["training", "validation"])
def test_more_classes_than_the_model_has(which):
    good, bad = (
        load((IMAGES, np.array(labels)), image_size=4, batch_size=3)
        for labels in ([0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 0])
    )
    data, validation = (bad, good) if which == "training" else (good, bad)
    words = "label 3 is out of range: 'tiny' tells 3 classes apart, and the data has 5"
    with pytest.raises(ValueError, match=words):
        fit(compiled(3), data, validation_data=validation, verbose=0)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_of_a_plain_data_set(label):
    x = IMAGES.astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, [0, 1, 2, 0, 1, label])).batch(3)
    words = rf"label {label} is out of range: 'tiny' tells 3 classes .* in 0\.\.2"
    with pytest.raises(ValueError, match=words):
        fit(compiled(3), data, verbose=0)


def test_one_output_tells_two_classes_apart():
    labels = np.array([0, 1, 0, 1, 0, 1])
    fit(compiled(1), load((IMAGES, labels), image_size=4, batch_size=3), verbose=0)
