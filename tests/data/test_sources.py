"""Where images come from, and what is said when they don't."""

import gzip
import struct
import time

import numpy as np
import pytest
import tensorflow as tf
from needed import needed

from keras_sa.data import MissingSplitError
from keras_sa.data import load
from keras_sa.data import open_source
from keras_sa.data import write_cache
from keras_sa.data.sources import tfds as tfds_source

PIXEL = tf.io.encode_jpeg(np.zeros((8, 8, 3), "uint8")).numpy()


def fill(path, counts):
    """Makes folders of so many images."""
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            (path / name / f"{number}.jpg").write_bytes(PIXEL)
    return path


def test_folder_without_splits(tmp_path):
    fill(tmp_path, {"b": 10, "a": 20, ".hidden": 3})
    (tmp_path / "a" / "notes.txt").write_text("no image")
    whole = open_source(f"folder:{tmp_path}", "all")
    assert whole.class_names == ("a", "b")
    assert np.bincount(whole.labels).tolist() == [20, 10]
    train = open_source(f"folder:{tmp_path}", "train", 0.2)
    held_out = open_source(f"folder:{tmp_path}", "validation", 0.2)
    assert np.bincount(held_out.labels).tolist() == [4, 2]
    assert sorted(train.files + held_out.files) == list(whole.files)


def test_every_suffix_of_jpegs_is_read(tmp_path):
    fill(tmp_path, {"a": 1, "b": 1})
    names = ("x.jfif", "y.JPE", "z.JPEG")
    for name in names:
        (tmp_path / "b" / name).write_bytes(PIXEL)
    source = open_source(f"folder:{tmp_path}", "all")
    assert np.bincount(source.labels).tolist() == [1, 4]
    data = load(source, "all", training=False, batch_size=5, image_size=8)
    ((images, _, weights),) = data.epoch()
    assert weights.numpy().tolist() == [1] * 5
    np.testing.assert_array_equal(images[1:], np.repeat(images[:1], 4, axis=0))


def test_images_that_nobody_reads_are_counted_once(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2})
    for name in ("a/1.avif", "a/2.TIF", "b/deeper/3.tif", "b/.4.tif", "b/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for path in (f"folder:{tmp_path}", f"files:{tmp_path}"):
        with pytest.warns(UserWarning) as told:
            assert open_source(path, "all").num_examples == 4
        (warning,) = told
        text = str(warning.message)
        assert f"{str(tmp_path)!r} has images" in text
        assert "left out: 1 .avif, 2 .tif. Only .jpg" in text


def test_added_photos_move_no_others_between_the_splits(tmp_path):
    fill(tmp_path, {"a": 40})
    before = set(open_source(f"folder:{tmp_path}", "validation", 0.25).files)
    (tmp_path / "a" / "new.jpg").write_bytes(PIXEL)
    after = set(open_source(f"folder:{tmp_path}", "validation", 0.25).files)
    # The size is rounded, so at most one photo comes or goes.
    assert len(before ^ after) <= 2


def test_folder_with_splits(tmp_path):
    fill(tmp_path / "train", {"a": 2, "b": 1, "c": 1})
    fill(tmp_path / "val", {"c": 3})
    validation = open_source(f"folder:{tmp_path}", "validation")
    assert validation.class_names == ("a", "b", "c")
    assert validation.labels.tolist() == [2, 2, 2]
    with pytest.raises(MissingSplitError, match="'test'"):
        open_source(f"folder:{tmp_path}", "test")
    fill(tmp_path / "val", {"d": 1})
    with pytest.raises(ValueError, match=r"\['d'\]"):
        open_source(f"folder:{tmp_path}", "validation")


@pytest.mark.parametrize("below", [".", "train"])
def test_refuses_malformed_folders(tmp_path, below):
    for name in ("nowhere", ""):
        with pytest.raises(FileNotFoundError, match=f"no folder '{name}'"):
            load(f"folder:{name}")
    (tmp_path / below).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="one folder of images for each class"):
        load(f"folder:{tmp_path}")
    fill(tmp_path / below, {"full": 1, "empty": 0})
    with pytest.raises(ValueError, match=r"\['empty'\]"):
        load(f"folder:{tmp_path}")


def test_refuses_a_validation_split_that_is_not_there(tmp_path):
    fill(tmp_path, {"a": 4})
    with pytest.raises(MissingSplitError, match="validation_fraction=0"):
        load(f"folder:{tmp_path}", "validation")
    with pytest.raises(MissingSplitError, match="split='test'"):
        load(f"folder:{tmp_path}", "test")


@pytest.mark.parametrize("fraction", [-0.5, 1.0, 1.5, float("nan")])
@pytest.mark.parametrize("split", ["train", "validation", "all"])
@pytest.mark.parametrize("source", ["digits", "folder:nowhere", "tfds:nothing"])
def test_refuses_a_part_that_is_none(source, split, fraction):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        load(source, split, validation_fraction=fraction)


def test_refuses_parts_without_images(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2})
    with pytest.raises(ValueError, match="no image in this part.*'validation'"):
        load(f"folder:{tmp_path}", "validation", validation_fraction=1e-4)
    for fraction in (1e-4, 0.999):
        with pytest.raises(ValueError, match="all digits"):
            load("digits", validation_fraction=fraction)


def test_a_part_of_arrays_is_held_out():
    images, labels = np.zeros((40, 8, 8), "uint8"), np.arange(40) // 10
    images += np.arange(40, dtype="uint8")[:, None, None]
    train, held_out = (
        open_source((images, labels), split, 0.2) for split in ("train", "validation")
    )
    assert np.bincount(held_out.labels).tolist() == [2, 2, 2, 2]
    assert train.class_names == held_out.class_names
    found = np.concatenate([train.images, held_out.images])[:, 0, 0, 0]
    assert sorted(found) == list(range(40))
    with pytest.raises(ValueError, match="open already"):
        load(train, validation_fraction=0.2)


def write_idx(path, array, pack):
    header = (
        b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    )
    content = header + array.astype("uint8").tobytes()
    if pack:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("pack", [True, False])
def test_fashion_mnist_from_a_folder(tmp_path, pack):
    random = np.random.RandomState(0)
    images, labels = random.randint(0, 256, (100, 28, 28)), np.arange(100) % 10
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", images, pack)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", labels, pack)
    source = open_source(f"fashion_mnist:{tmp_path}", "train", 0.2)
    held_out = open_source(f"fashion_mnist:{tmp_path}", "validation", 0.2)
    assert (source.num_examples, held_out.num_examples) == (80, 20)
    assert (np.bincount(held_out.labels) == 2).all()
    test = open_source(f"fashion_mnist:{tmp_path}", "test")
    np.testing.assert_array_equal(test.images[..., 0], images)
    assert test.class_names[9] == "Ankle boot"
    with pytest.raises(MissingSplitError, match="split='all'"):
        open_source(f"fashion_mnist:{tmp_path}", "all")


def test_fashion_mnist_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset-fashion-mnist"):
        load(f"fashion_mnist:{tmp_path}")
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((3, 28, 28)), True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match="damaged"):
        load(f"fashion_mnist:{tmp_path}", "test")


def test_npz(tmp_path):
    path = tmp_path / "data.npz"
    images, labels = np.zeros((20, 6, 6), "uint8"), np.arange(20) % 4
    np.savez(
        path, x_train=images, y_train=labels[:, None], x_test=images[:2], y_test=[0, 1]
    )
    assert open_source(f"npz:{path}", "train", 0.25).num_examples == 16
    assert open_source(f"npz:{path}", "validation", 0.25).num_examples == 4
    assert open_source(f"npz:{path}", "test").class_names == ("0", "1", "2", "3")
    with pytest.raises(MissingSplitError, match="x_other"):
        open_source(f"npz:{path}", "other")


def test_npz_is_never_unpickled(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, x_train=np.array([{}], object), y_train=np.array([0]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        open_source(f"npz:{path}", "train")


def test_cache_holds_the_same_images(tmp_path):
    random = np.random.RandomState(0)
    for number in range(7):
        (tmp_path / "photos" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        image = random.randint(0, 256, (9, 9, 3)).astype("uint8")
        file = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        file.write_bytes(tf.io.encode_png(image).numpy())
    source = open_source(f"folder:{tmp_path / 'photos'}", "all")
    cached = write_cache(source, tmp_path / "cache", shard_bytes=600)
    assert len(cached.shards) > 2
    settings = {"image_size": 8, "batch_size": 7, "training": False}
    for copy, original in zip(
        next(iter(load(cached, **settings).epoch())),
        next(iter(load(source, **settings).epoch())),
        strict=True,
    ):
        np.testing.assert_array_equal(copy, original)
    with pytest.raises(FileExistsError):
        write_cache(source, tmp_path / "cache")
    shard = tmp_path / "cache" / "00001.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged.*00001"):
        load(f"records:{tmp_path / 'cache'}")


def test_caches_of_splits_are_one_source(tmp_path):
    fill(tmp_path / "photos", {"a": 8, "b": 4})
    for split in ("train", "validation"):
        source = open_source(f"folder:{tmp_path / 'photos'}", split, 0.25)
        write_cache(source, tmp_path / "caches" / split)
    caches = f"records:{tmp_path / 'caches'}"
    assert open_source(caches, "train").num_examples == 9
    assert open_source(caches, "validation").num_examples == 3
    # Neither of them may pass for a split that is not there.
    for source in (caches, f"records:{tmp_path / 'caches' / 'train'}"):
        with pytest.raises(MissingSplitError, match="split='test'"):
            open_source(source, "test")
    with pytest.raises(FileNotFoundError, match="no cache"):
        open_source(f"records:{tmp_path / 'photos'}", "train")


def test_an_interrupted_cache_leaves_nothing(tmp_path):
    fill(tmp_path / "photos", {"a": 3})
    source = open_source(f"folder:{tmp_path / 'photos'}", "all")
    (tmp_path / "photos" / "a" / "2.jpg").unlink()
    with pytest.raises(tf.errors.NotFoundError):
        write_cache(source, tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.fixture
def builder(tmp_path, monkeypatch):
    datasets = needed("tensorflow_datasets")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    config = datasets.folder_dataset.write_metadata
    features = datasets.features.FeaturesDict(
        {
            "image": datasets.features.Image(shape=(None, None, 3)),
            "label": datasets.features.ClassLabel(names=["cat", "dog"]),
        }
    )
    directory = tmp_path / "pets" / "1.0.0"
    directory.mkdir(parents=True)
    with tf.io.TFRecordWriter(
        str(directory / "pets-train.tfrecord-00000-of-00001")
    ) as w:
        for number in range(12):
            image = np.full((8, 9, 3), 20 * number, "uint8")
            w.write(features.serialize_example({"image": image, "label": number % 2}))
    config(
        data_dir=directory,
        features=features,
        split_infos=[
            datasets.core.SplitInfo(
                name="train",
                shard_lengths=[12],
                num_bytes=1000,
                filename_template=datasets.core.ShardedFileTemplate(
                    data_dir=directory,
                    dataset_name="pets",
                    split="train",
                    filetype_suffix="tfrecord",
                ),
            )
        ],
        supervised_keys=("image", "label"),
    )
    return datasets.builder_from_directory(directory)


def test_tfds(builder):
    whole = load(tfds_source.source_of(builder, "train"), image_size=8, batch_size=4)
    assert whole.num_examples == 12 and whole.class_names == ("cat", "dog")
    held_out = load(
        tfds_source.source_of(builder, "validation", 0.25),
        "validation",
        image_size=8,
        batch_size=3,
        normalize=False,
    )
    images, labels, _ = next(iter(held_out.epoch()))
    np.testing.assert_array_equal(images[:, 0, 0, 0], [180, 200, 220])
    np.testing.assert_array_equal(labels, [1, 0, 1])
    part = tfds_source.source_of(builder, "train[2:5]")
    images = next(
        iter(load(part, "x", image_size=8, batch_size=3, normalize=False).epoch())
    )
    np.testing.assert_array_equal(images[0][:, 0, 0, 0], [40, 60, 80])
    with pytest.raises(MissingSplitError, match=r"\['train'\]"):
        tfds_source.source_of(builder, "validation")


def test_tfds_without_a_connection_fails_at_once(tmp_path, monkeypatch):
    needed("tensorflow_datasets")
    monkeypatch.setattr(tfds_source.urllib.request, "getproxies", dict)

    def refuse(*args):
        raise OSError("no network")

    monkeypatch.setattr(tfds_source.socket, "create_connection", refuse)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="TFDS_DATA_DIR"):
        tfds_source.check_connection("cifar10", str(tmp_path))
    assert time.monotonic() - start < 5
    with pytest.raises(ValueError, match="no set of this name"):
        load("tfds:there_is_no_such_set")


def test_arrays_can_not_be_copied_into_a_cache(tmp_path):
    source = open_source((np.zeros((4, 8, 8, 3), "uint8"), np.arange(4)), "train")
    with pytest.raises(ValueError, match="Only image files"):
        write_cache(source, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
