"""Networks to look into."""

import keras
import numpy as np
import pytest
import tiny_networks


def small_images(count=3, size=32, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, size, size, channels)).astype("float32")


@pytest.fixture(scope="module")
def network():
    """A random SA-ResNet of two blocks that gives logits of ten classes."""
    # The tests' own seed is set after fixtures of a module.
    keras.utils.set_random_seed(3)
    return tiny_networks.randomise(tiny_networks.build_tiny())


@pytest.fixture(scope="module")
def images():
    return small_images()


@pytest.fixture
def nearly_constant():
    """A classifier and images whose layer `map` differs by rounding alone."""
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(
        2, 1, use_bias=False, kernel_initializer="ones", name="map"
    )(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.layers[-1].set_weights([np.array([[2.0, -2.0]] * 2), np.zeros(2)])
    images = np.full((2, 8, 8, 2), 0.85, "float32")
    images[:, 2:5, 3:6] = np.nextafter(images[:, 2:5, 3:6], 1)
    maps = keras.Model(inputs, model.get_layer("map").output)(images).numpy()
    assert 0 < np.ptp(maps) < 1e-6
    return model, images


@pytest.fixture(scope="session")
def spots():
    """Noise with a patch of 8x8 pixels that only its texture gives a class.

    Returns images, labels and the patches' places as a mask.
    """
    rng = np.random.default_rng(0)
    count, size, patch = 256, 24, 8
    images = 0.3 * rng.standard_normal((count, size, size, 1))
    labels = rng.integers(0, 2, count)
    places = np.zeros((count, size, size), bool)
    stripes = np.tile([[1.0], [-1.0]], (patch // 2, patch))
    for image, label, place in zip(images, labels, places, strict=True):
        row, column = rng.integers(0, size - patch + 1, 2)
        where = slice(row, row + patch), slice(column, column + patch)
        image[where] += (stripes if label else stripes.T)[..., np.newaxis]
        place[where] = True
    return images.astype("float32"), labels, places


@pytest.fixture(scope="session")
def trained(spots):
    """A small network that has learned the textures of `spots`."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((24, 24, 1))
    x = inputs
    for width in (16, 16, 32):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(
        keras.optimizers.Adam(5e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    images, labels, _ = spots
    model.fit(images, labels, batch_size=32, epochs=12, verbose=0)
    return model
