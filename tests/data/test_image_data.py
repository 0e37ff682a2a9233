"""Batches are a function of seed, epoch and step, with any number of workers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_sa.data import Augmentation
from keras_sa.data import load
from keras_sa.data import write_cache
from keras_sa.data.sources.folder import folder

MIXED = Augmentation(random_erasing=0.5, mixup=0.2, cutmix=1.0, label_smoothing=0.1)
EVERYTHING = dataclasses.replace(MIXED, rand_augment=1)


def batches(data, **position):
    return [[part.numpy() for part in b] for b in data.dataset(**position)]


def assert_equal(these, those):
    assert len(these) == len(those)
    for one, other in zip(these, those, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def arrays():
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (29, 12, 14, 3)).astype("uint8")
    return images, np.arange(29) % 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos")
    random = np.random.RandomState(1)
    for number in range(21):
        (path / f"class{number % 3}").mkdir(exist_ok=True)
        image = random.randint(0, 256, (40, 50, 3)).astype("uint8")
        tf.io.write_file(
            str(path / f"class{number % 3}" / f"{number}.jpg"), tf.io.encode_jpeg(image)
        )
    return path


@pytest.fixture(scope="module")
def cache(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "train"
    write_cache(folder(photos, "all"), path, shard_bytes=5000)
    return path


@pytest.fixture(
    params=[
        "arrays",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("folder", "records")),
    ]
)
def data(request, arrays, photos, cache):
    source = {
        "arrays": arrays,
        "folder": f"folder:{photos}",
        "records": f"records:{cache}",
    }
    return load(
        source[request.param],
        image_size=10,
        batch_size=8,
        augmentation=MIXED if request.param == "arrays" else None,
        seed=3,
    )


def test_repeats_itself_and_resumes(data):
    whole = batches(data, epochs=3)
    assert_equal(whole, batches(data, epochs=3))
    step = data.steps_per_epoch + 2
    assert_equal(whole[step:], batches(data, epoch=1, step=2, epochs=2))
    last = data.steps_per_epoch
    assert_equal(whole[last:], batches(data, epoch=0, step=last, epochs=3))


@pytest.mark.slow
def test_random_layers_repeat_themselves_and_resume(arrays):
    data = load(arrays, image_size=10, batch_size=8, augmentation=EVERYTHING)
    whole = batches(data, epochs=1)
    tf.random.set_seed(1)  # must not matter
    assert_equal(whole[2:], batches(data, step=2, epochs=1))


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_share_the_batches(data, count):
    whole = batches(data, epochs=2)
    workers = [batches(data.sharded(i, count), epochs=2) for i in range(count)]
    joined = [
        [np.concatenate(parts) for parts in zip(*step, strict=True)]
        for step in zip(*workers, strict=True)
    ]
    assert_equal(joined, whole)


def test_epochs_and_seeds_differ(data):
    first, second = batches(data, epochs=1), batches(data, epoch=1, epochs=1)
    assert not np.array_equal(first[0][0], second[0][0])
    other = load(data.source, image_size=10, batch_size=8, seed=4)
    assert not np.array_equal(first[0][0], next(iter(other.dataset()))[0])


def test_evaluation_without_a_number_of_epochs_ends(data):
    held_out = load(data.source, "test", image_size=10, batch_size=8)
    assert len(list(held_out.dataset())) == held_out.steps_per_epoch
    assert held_out.dataset().cardinality() == held_out.steps_per_epoch


def test_endless_without_a_number_of_epochs(data):
    many = 3 * data.steps_per_epoch + 1
    assert len(list(data.dataset().take(many))) == many
    assert data.dataset().cardinality() in (
        tf.data.INFINITE_CARDINALITY,
        tf.data.UNKNOWN_CARDINALITY,
    )
    assert data.epoch(step=1).cardinality() == data.steps_per_epoch - 1


def test_every_example_once_an_epoch(photos, cache):
    for source in (f"folder:{photos}", f"records:{cache}"):
        data = load(source, image_size=8, batch_size=8)
        for epoch in range(2):
            indices = [
                index
                for batch in data.schedule.batches(
                    data._windows()[1], epoch=epoch, step=0, epochs=1
                )
                for index, weight in zip(
                    batch["index"].numpy(), batch["weight"].numpy(), strict=True
                )
                if weight
            ]
            assert sorted(indices) == list(range(21))
            assert indices != sorted(indices)


def test_fills_up_the_last_batch_with_images_of_weight_zero(arrays):
    data = load(arrays, image_size=10, batch_size=8, training=False)
    images, labels, weights = batches(data, epochs=1)[-1]
    np.testing.assert_array_equal(weights, [1, 1, 1, 1, 1, 0, 0, 0])
    first = batches(data, epochs=1)[0]
    np.testing.assert_array_equal(images[5:], first[0][:3])
    np.testing.assert_array_equal(labels, np.r_[arrays[1][24:], arrays[1][:3]])


def test_fewer_examples_than_a_batch(arrays):
    images, labels = arrays
    data = load((images[:3], labels[:3]), image_size=10, batch_size=8)
    (batch,) = batches(data, epochs=1)
    assert batch[2].sum() == 3
    assert np.isfinite(batch[0]).all()


def test_drop_remainder(arrays):
    data = load(arrays, image_size=10, batch_size=8, drop_remainder=True)
    assert data.steps_per_epoch == len(batches(data, epochs=1)) == 3
    with pytest.raises(ValueError, match="don't fill one batch"):
        load(arrays, batch_size=30, drop_remainder=True)


def test_input_fn_gives_the_batches_of_the_replicas(arrays):
    data = load(arrays, image_size=10, batch_size=8, seed=1)
    whole = batches(data, epochs=1)
    context = tf.distribute.InputContext(
        num_input_pipelines=2, input_pipeline_id=1, num_replicas_in_sync=4
    )
    parts = [[p.numpy() for p in b] for b in data.input_fn(epochs=1)(context)]
    assert len(parts) == 2 * len(whole)
    np.testing.assert_array_equal(parts[0][0], whole[0][0][4:6])
    np.testing.assert_array_equal(parts[1][0], whole[0][0][6:])


def test_mirrored_strategy_gets_the_same_global_batch(arrays):
    data = load(arrays, image_size=10, batch_size=8, seed=1)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    spread = strategy.distribute_datasets_from_function(data.input_fn(epochs=1))
    images = strategy.gather(next(iter(spread))[0], axis=0)
    np.testing.assert_array_equal(images, batches(data, epochs=1)[0][0])


def test_uint8_pixels(arrays):
    images, labels = arrays
    data = load(
        (images, labels),
        image_size=(12, 14),
        batch_size=29,
        training=False,
        normalize=False,
    )
    pixels = batches(data, epochs=1)[0][0]
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, images)


def test_normalizes_as_the_networks_expect(arrays):
    from keras_sa.applications.sa_resnet import preprocess_input

    settings = {"image_size": (12, 14), "batch_size": 29, "training": False}
    normalized = batches(load(arrays, **settings), epochs=1)[0][0]
    expected = preprocess_input(arrays[0].astype("float32"), "channels_last")
    # Two roundings in float32.
    np.testing.assert_allclose(normalized, expected, atol=1e-5)


def test_grey_and_colour(arrays):
    images, labels = arrays
    settings = {
        "image_size": (12, 14),
        "batch_size": 4,
        "training": False,
        "normalize": False,
    }
    grey = batches(load((images[..., 0], labels), channels=1, **settings), epochs=1)
    np.testing.assert_array_equal(grey[0][0], images[:4, ..., :1])
    colour = batches(load((images[..., 0], labels), **settings), epochs=1)
    np.testing.assert_array_equal(colour[0][0], images[:4, ..., [0, 0, 0]])
    assert load((images, labels), channels=1, **settings).image_shape == (12, 14, 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"channels": 2}, "channels=2"),
        ({"seed": -1}, "seed=-1"),
        ({"image_size": (3, 0)}, "image_size"),
        ({"mean": (0.5,)}, "`mean` and `std`"),
        ({"batch_size": 9, "shard": (0, 2)}, "multiple of the number of workers"),
        ({"shard": (2, 2)}, "shard="),
        ({"augmentation": EVERYTHING, "channels": 1}, "RandAugment"),
        ({"augmentation": EVERYTHING, "one_hot": False}, "`one_hot`"),
        ({"report": "bad.jsonl"}, "skip_bad_images=False"),
    ],
)
def test_refuses(arrays, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(arrays, **arguments)


def test_refuses_unknown_sources_and_steps(arrays):
    with pytest.raises(ValueError, match="'folder:PATH'"):
        load("photos")
    with pytest.raises(ValueError, match="step=5"):
        load(arrays, batch_size=8).dataset(step=5)
    floats = arrays[0].astype("float32")
    with pytest.raises(ValueError, match="uint8 in 0..255"):
        load((floats, arrays[1]))
    with pytest.raises(ValueError, match="one integer for each image"):
        load((arrays[0], arrays[1][:-1]))
