"""Crops as published; Keras' layers with seeds of ours."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.data import Augmentation
from keras_sa.data import load
from keras_sa.data.rand_augment import operations
from keras_sa.data.rand_augment import rand_augment
from keras_sa.data.random_crop import DRAWS
from keras_sa.data.random_crop import crop_shapes
from keras_sa.data.random_crop import sample_crop
from keras_sa.data.stateless_seeds import StatelessSeeds
from keras_sa.data.stateless_seeds import seed_for

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
FILL = (124.0, 116.0, 104.0)


@tf.function
def windows(height, width, count):
    draws = tf.random.stateless_uniform((count, DRAWS), (1, 2))
    shapes = crop_shapes(draws, SCALE, RATIO)
    extent = tf.constant([height, width])
    return tf.map_fn(
        lambda row: sample_crop(row[0], row[1][-2:], extent, RATIO),
        (shapes, draws),
        fn_output_signature=tf.int32,
    )


def published_window(height, width, random):
    """The distribution in its own words, to compare with."""
    for _ in range(10):
        area = random.uniform(*SCALE) * height * width
        stretch = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * stretch)), round(math.sqrt(area / stretch))
        if 0 < w <= width and 0 < h <= height:
            top, left = (
                random.randint(0, height - h + 1),
                random.randint(0, width - w + 1),
            )
            return top, left, h, w
    return None


@pytest.mark.parametrize("height, width", [(375, 500), (500, 333)])
def test_crops_are_distributed_as_published(height, width):
    ours = windows(height, width, 4000).numpy().astype("float64")
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()
    random = np.random.RandomState(0)
    theirs = np.array([published_window(height, width, random) for _ in range(4000)])
    for of in (
        lambda w: w[:, 0],
        lambda w: w[:, 1],
        lambda w: w[:, 2] * w[:, 3] / (height * width),
        lambda w: np.log(w[:, 3] / w[:, 2]),
    ):
        a, b = np.sort(of(ours)), np.sort(of(theirs.astype("float64")))
        # Kolmogorov-Smirnov: two samples of 4000 of one distribution are further
        # apart than this once in 100,000.
        grid = np.concatenate([a, b])
        distance = np.abs(
            np.searchsorted(a, grid, "right") - np.searchsorted(b, grid, "right")
        ).max()
        assert distance / 4000 < 0.055


def test_crop_of_an_extreme_shape_is_the_largest_in_the_centre():
    # No area of at least 8 % with an allowed ratio fits.
    np.testing.assert_array_equal(windows(10, 400, 3), [[0, 193, 10, 13]] * 3)
    np.testing.assert_array_equal(windows(400, 10, 3), [[193, 0, 13, 10]] * 3)


def test_crop_of_tiny_images():
    for height, width in [(1, 1), (2, 3), (1, 7)]:
        found = windows(height, width, 50).numpy()
        assert (found[:, 2:] >= 1).all()
        assert (found[:, 0] + found[:, 2] <= height).all()
        assert (found[:, 1] + found[:, 3] <= width).all()


def test_half_of_the_images_are_mirrored():
    images = np.zeros((400, 4, 4), "uint8")
    images[:, :, 0] = 255
    data = load(
        (images, np.zeros(400, int)),
        image_size=4,
        batch_size=400,
        normalize=False,
        channels=1,
        augmentation=Augmentation(scale=None),
    )
    pixels = next(iter(data.dataset()))[0].numpy()
    mirrored = (pixels[:, 0, 3, 0] == 255).sum()
    # Five standard deviations of 400 coins.
    assert abs(mirrored - 200) < 50
    assert (pixels[:, 0, 0, 0] == 255).sum() == 400 - mirrored


@pytest.fixture
def image():
    random = np.random.RandomState(0)
    return tf.constant(random.uniform(0, 255, (16, 16, 3)), tf.float32)


@pytest.mark.parametrize("number", range(14))
def test_operations_follow_the_seed_and_stay_in_range(image, number):
    operation = operations(0.9, FILL)[number]

    @tf.function
    def apply(index):
        seeds = StatelessSeeds(seed_for(2, 5, tf.constant(1, tf.int64), index))
        return operation(image[tf.newaxis], seeds)[0]

    results = [apply(tf.constant(index)).numpy() for index in (0, 0, 1, 2, 3, 4)]
    np.testing.assert_array_equal(results[0], results[1])
    assert all(r.min() >= -1e-3 and r.max() <= 255.001 for r in results)
    deterministic = number in (0, 2, 3)
    assert deterministic == all(np.array_equal(results[0], r) for r in results)


def test_operations_that_move_pixels_leave_one_colour_behind():
    # One colour everywhere: other pixels are where there is no picture.
    colour = np.array([0.0, 255.0, 255.0], "float32")
    image = tf.zeros((1, 16, 16, 3)) + colour
    left = 0
    for operation in operations(1.0, FILL)[4:9]:
        for index in range(4):
            seeds = StatelessSeeds(seed_for(2, 5, tf.constant(1, tf.int64), index))
            pixels = operation(image, seeds).numpy().reshape(-1, 3)
            # Between the two at the edge.
            parts = (pixels - colour) / (FILL - colour)
            np.testing.assert_allclose(parts, parts[:, :1] + [0, 0, 0], atol=1e-4)
            left += (parts > 0.999).sum()
    assert left > 100


@pytest.mark.slow
def test_rand_augment_takes_other_operations_for_other_images(image):
    chosen = operations(0.5, FILL)
    calls = tf.function(
        lambda index: rand_augment(
            image, seed_for(2, 0, tf.constant(0, tf.int64), index), chosen, 2
        )
    )
    results = [calls(tf.constant(index)).numpy() for index in range(20)]
    different = {result.tobytes() for result in results}
    assert len(different) > 10
    assert tuple(calls(tf.constant(0)).shape) == (16, 16, 3)


def test_stateless_seeds_have_no_state_and_do_not_repeat():
    def seeds(epoch, index):
        generator = StatelessSeeds(
            seed_for(2, 0, tf.constant(epoch, tf.int64), tf.constant(index))
        )
        return [tuple(generator.next().numpy()) for _ in range(4)]

    assert seeds(1, 2) == seeds(1, 2)
    drawn = [s for epoch in range(8) for index in range(8) for s in seeds(epoch, index)]
    assert len(set(drawn)) == len(drawn)
    assert isinstance(
        StatelessSeeds(seed_for(0, 0, tf.constant(0, tf.int64), 0)),
        keras.random.SeedGenerator,
    )


def mixed(augmentation, images, labels, **settings):
    data = load(
        (images, labels),
        image_size=8,
        channels=1,
        normalize=False,
        augmentation=augmentation,
        **settings,
    )
    return [part.numpy() for part in next(iter(data.dataset()))]


def grey_levels(count=32):
    """Image i has the level 8 i everywhere and the label i."""
    levels = np.arange(count)
    return np.tile((8 * levels)[:, None, None], (1, 8, 8)).astype("uint8"), levels


def test_mixup_mixes_images_and_labels_alike():
    pixels, labels, _ = mixed(
        Augmentation(scale=None, mixup=1.0), *grey_levels(), batch_size=32
    )
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    # Rounding to whole levels: half a level, and half for the labels' float32.
    np.testing.assert_allclose(
        pixels[:, 0, 0, 0], labels @ (8.0 * np.arange(32)), atol=1
    )
    assert (labels.max(1) < 0.999).sum() > 16


def test_cutmix_mixes_areas_and_labels_alike():
    pixels, labels, _ = mixed(
        Augmentation(scale=None, cutmix=1.0), *grey_levels(), batch_size=32
    )
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    levels = [np.unique(image) for image in pixels]
    assert all(len(found) <= 2 for found in levels)
    assert sum(len(found) == 2 for found in levels) > 8


def test_random_erasing_fills_with_the_mean_at_its_probability():
    images = np.full((300, 8, 8, 3), 255, "uint8")
    data = load(
        (images, np.zeros(300, int)),
        image_size=8,
        batch_size=300,
        augmentation=Augmentation(scale=None, random_erasing=0.25),
    )
    pixels = next(iter(data.dataset()))[0].numpy()
    erased = (np.abs(pixels) < 1e-5).any((1, 2, 3))
    # 75 expected, a little fewer because tiny rectangles can miss all pixels.
    assert 35 < erased.sum() < 113


def test_label_smoothing_in_training_only():
    images, labels = grey_levels(4)
    augmentation = Augmentation(scale=None, label_smoothing=0.2)
    settings = {"batch_size": 4, "image_size": 8, "augmentation": augmentation}
    _, smooth, _ = next(iter(load((images, labels), **settings).dataset()))
    np.testing.assert_allclose(np.sort(smooth, 1), [[0.05] * 3 + [0.85]] * 4, atol=1e-6)
    _, hard, _ = next(iter(load((images, labels), "test", **settings).dataset()))
    np.testing.assert_array_equal(hard, np.eye(4))


@pytest.mark.parametrize(
    "arguments",
    [{"scale": (0, 1)}, {"ratio": (2, 1)}, {"mixup": 2}, {"rand_augment": -1}],
)
def test_refuses(arguments):
    with pytest.raises(ValueError, match=f"Received: {next(iter(arguments))}="):
        Augmentation(**arguments)
