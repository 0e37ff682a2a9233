"""A new head learns as fast on features of any size, and leaves a plain network."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_sa.data import load
from keras_sa.recipes import new_head

RNG = np.random.default_rng(0)
ONES = keras.ops.ones(8)
IMAGES = RNG.integers(0, 256, (40, 6, 6, 3), np.uint8)
DATA = load((IMAGES, np.arange(40) % 4), image_size=6, batch_size=8, training=False)


def network(size=1.0):
    """Fixed features, as large as is wanted."""
    x = keras.Input((6, 6, 3))
    dense = keras.layers.Dense(16, "relu")
    base = keras.Model(x, dense(keras.layers.Flatten()(x)))
    kernel = np.random.default_rng(1).standard_normal((108, 16)).astype("float32")
    dense.set_weights([size * kernel, np.full(16, 3 * size)])
    model = new_head.with_new_head(base, 4)
    new_head.standardise(model, DATA)
    return model


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_features_have_the_same_length(size):
    model = network(size)
    features = keras.Model(model.input, model.get_layer("predictions").input)
    found = np.concatenate([features(x).numpy() for x, _, _ in DATA.epoch()])
    length = np.median(np.sqrt(np.square(found).sum(1)))
    assert length == pytest.approx(new_head.LENGTH, rel=1e-3)
    np.testing.assert_allclose(np.median(found, axis=0), 0, atol=1e-3)
    # Each class is as probable before anything is learnt.
    np.testing.assert_allclose(model.predict(found_images(), verbose=0), 0.25)


def found_images():
    return next(iter(DATA.epoch()))[0]


def test_a_giant_among_the_images_changes_little():
    x = keras.Input((6, 6, 3))
    base = keras.Model(x, keras.layers.Flatten()(x))
    model = new_head.with_new_head(base, 4)
    images, *_ = zip(*[map(np.array, b) for b in DATA.epoch()], strict=True)
    scales = []
    for giant in (1.0, 1e4):
        images[0][0] *= giant
        batches = SimpleNamespace(
            epoch=lambda: ((keras.ops.array(i), None, ONES) for i in images)
        )
        new_head.standardise(model, batches)
        variance = model.get_layer(new_head.STANDARDISED).moving_variance
        scales.append(float(variance[0]))
    assert scales[1] == pytest.approx(scales[0], rel=0.1)


def test_features_that_are_all_the_same():
    model = network(0.0)
    assert np.isfinite(model.predict(found_images(), verbose=0)).all()


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_the_folded_network_is_the_same_function(size):
    model = network(size)
    kernel = RNG.standard_normal((16, 4)).astype("float32") / 16
    model.get_layer("predictions").set_weights([kernel, np.arange(4.0)])
    folded = new_head.folded(model)
    names = [layer.name for layer in folded.layers]
    expected = [layer.name for layer in model.layers]
    expected.remove(new_head.STANDARDISED)
    assert names == expected
    images = found_images()
    expected = model.predict(images, verbose=0)
    # float32, and logits that a large mean is taken from.
    np.testing.assert_allclose(folded.predict(images, verbose=0), expected, atol=1e-5)
    assert expected.std() > 0.1
