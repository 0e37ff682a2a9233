"""Photos are read as a person sees them, whatever orientation their files have."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from camera_photos import ORIENTATIONS
from camera_photos import TAG
from camera_photos import as_pillow_shows
from camera_photos import camera_photo
from PIL import Image

from keras_sa.data import Augmentation
from keras_sa.data import load
from keras_sa.data.coco.tfds_objects import image_shape
from keras_sa.data.decoding import decode
from keras_sa.data.decoding import decode_training_crop
from keras_sa.data.orientation import exif_orientation
from keras_sa.data.random_crop import ATTEMPTS


def scene(width=72, height=44):
    """Different in every corner, and smooth, so that JPEG keeps it."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (230 * np.stack([x, y, (1 - x) * y], -1) + 10).round().astype("uint8")


def photo(orientation, kind="JPEG"):
    return camera_photo(scene(), orientation, kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_is_decoded_as_pillow_shows_it(kind):
    in_graph = tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)])
    for orientation in ORIENTATIONS:
        contents = photo(orientation, kind)
        image = in_graph(tf.constant(contents))
        np.testing.assert_array_equal(image, as_pillow_shows(contents))
        assert tuple(image_shape(tf.constant(contents))) == scene().shape[:2]


def with_exif(tiff, *before):
    """A JPEG whose EXIF segment holds these bytes, behind other segments."""
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    segments = [(0xE1, b"Exif\0\0" + tiff)] if tiff is not None else []
    for marker, data in [*reversed(segments), *before]:
        length = (len(data) + 2).to_bytes(2, "big")
        jpeg = jpeg[:2] + bytes([0xFF, marker]) + length + data + jpeg[2:]
    return tf.constant(jpeg)


def tiff(order, value=6, kind=3, start=8):
    mark = {"<": b"II", ">": b"MM"}[order]
    entries = [struct.pack(order + "HHIHH", 0x010E, 3, 1, 5, 0)]
    entries.append(struct.pack(order + "HHIHH", TAG, kind, 1, value, 0))
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries)
    head = mark + struct.pack(order + "HI", 42, start)
    return head.ljust(start, b"\0") + directory


@pytest.mark.parametrize("order", "<>")
def test_both_byte_orders_and_other_segments(order):
    assert exif_orientation(with_exif(tiff(order))) == 6
    assert exif_orientation(with_exif(tiff(order, start=40))) == 6
    others = [(0xE0, b"JFIF\0" + bytes(9)), (0xFE, b"Exif\0\0 is what comes")]
    assert exif_orientation(with_exif(tiff(order, 8), *others)) == 8


@pytest.mark.parametrize(
    "block",
    [None, b"", tiff("<", 0), tiff("<", 9), tiff(">", 6, kind=2), tiff("<")[:20]],
)
def test_what_is_no_orientation_leaves_the_picture_as_it_is(block):
    assert exif_orientation(with_exif(block)) == 1


def test_an_orientation_behind_the_picture_is_not_its_own():
    # Phones append previews and further pictures, each with its own EXIF data.
    assert exif_orientation(with_exif(None) + photo(6)) == 1


def test_damaged_files_raise_nothing():
    random = np.random.default_rng(0)
    read = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), "string")])
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = photo(7, kind)
        for _ in range(60):
            damaged = bytearray(whole[: random.integers(len(whole))])
            for place in random.integers(120, size=4):
                damaged[place : place + 1] = random.bytes(1)
            assert 1 <= read(tf.constant(bytes(damaged))) <= 8
    endless = b"\xff\xd8" + b"\xff\xe2\0\0" * 100_000 + b"Exif\0\0"
    assert read(tf.constant(endless)) == 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("shrink", [1, 2])
def test_training_crops_are_of_the_upright_picture(orientation, shrink):
    contents = camera_photo(scene(288, 176), orientation)
    shapes = tf.repeat([[0.3, 0.6]], ATTEMPTS, 0)
    size = (40 // shrink, 60 // shrink)
    arguments = shapes, tf.constant([0.2, 0.9]), size, (0.5, 2.0)
    buffer = io.BytesIO()
    Image.fromarray(as_pillow_shows(contents)).save(buffer, "PNG")
    expected = decode_training_crop(tf.constant(buffer.getvalue()), *arguments)
    crop = decode_training_crop(tf.constant(contents), *arguments)
    # JPEG's scaled decoding begins at whole pixels of the small picture.
    assert np.abs(crop - expected).max() < (2 if shrink == 1 else 5)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_folder_of_photos_gives_one_picture_whatever_their_orientation(
    split, tmp_path
):
    for name in ("train", "val"):
        (tmp_path / name / "a").mkdir(parents=True)
        for orientation in ORIENTATIONS:
            path = tmp_path / name / "a" / f"{orientation}.jpg"
            path.write_bytes(photo(orientation))
    data = load(
        f"folder:{tmp_path}",
        split,
        image_size=24,
        batch_size=8,
        # The whole of every picture, but for what the network's shape cuts off.
        augmentation=Augmentation(scale=None, flip=False),
        crop_ratio=1,
    )
    images, _, weights = next(iter(data.epoch()))
    assert weights.numpy().all()
    assert np.abs(images - images[:1]).max() < 0.05
    # It is not the same seen from another side.
    assert np.abs(images - images[:, ::-1]).max() > 1


def test_a_broken_photo_that_is_turned_leaves_its_neighbours_alone(tmp_path):
    (tmp_path / "a").mkdir()
    broken = set()
    for number in range(24):
        contents = photo(ORIENTATIONS[number % len(ORIENTATIONS)])
        if number % 3 == 0:
            # The height in the header of the frame.
            place = contents.rindex(b"\xff\xc0") + 5
            contents = contents[:place] + b"\0\0" + contents[place + 2 :]
            broken.add(number)
        (tmp_path / "a" / f"{number:02}.jpg").write_bytes(contents)
    data = load(
        f"folder:{tmp_path}", "all", image_size=24, batch_size=8, skip_bad_images=True
    )
    for epoch in range(3):
        weights = np.concatenate([batch[2] for batch in data.epoch(epoch)])
        assert (weights == 0).sum() == len(broken)
    named = {int(name[-6:-4]) for name in data.bad_images.found}
    assert named == broken
