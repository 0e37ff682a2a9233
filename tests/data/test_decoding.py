"""All formats come out as Pillow reads them; damaged files are noticed."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_sa.data import image_files
from keras_sa.data import load
from keras_sa.data.bad_images import read_report
from keras_sa.data.bad_images import undecodable_images
from keras_sa.data.decoding import decode
from keras_sa.data.decoding import decode_training_crop
from keras_sa.data.random_crop import ATTEMPTS

FORMATS = [
    ("RGB", "PNG"),
    ("L", "PNG"),
    ("RGBA", "PNG"),
    ("LA", "PNG"),
    ("P", "PNG"),
    ("1", "PNG"),
    ("RGB", "BMP"),
    ("L", "BMP"),
    ("P", "BMP"),
    ("RGB", "GIF"),
    ("L", "GIF"),
    ("RGB", "JPEG"),
    ("L", "JPEG"),
]


def picture(width=48, height=36):
    """Smooth, with all colours, and different in every corner."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray(
        (255 * np.stack([x, y, 1 - x * y], -1)).round().astype("uint8")
    )


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode, kind", FORMATS)
def test_decodes_as_pillow(mode, kind):
    image = picture().convert(mode)
    contents = encoded(image, kind)
    expected = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"), "int16")
    # Bit for bit: both use libjpeg-turbo with the accurate integer transform.
    np.testing.assert_array_equal(decode(tf.constant(contents)), expected)


def test_decodes_16_bit_png():
    values = np.arange(0, 65536, 64, dtype="uint16").reshape(32, 32)
    contents = encoded(Image.fromarray(values), "PNG")
    expected = np.repeat((values >> 8)[..., None], 3, -1)
    np.testing.assert_array_equal(decode(tf.constant(contents)), expected)


def test_decodes_webp():
    contents = encoded(picture(), "WEBP", lossless=True)
    np.testing.assert_array_equal(decode(tf.constant(contents)), np.asarray(picture()))


@pytest.mark.parametrize("lossless", [True, False])
def test_transparency_of_webp_is_left_out(lossless):
    transparent = picture().convert("RGBA")
    transparent.putalpha(Image.new("L", transparent.size, 100))
    contents = encoded(transparent, "WEBP", lossless=lossless, exact=True)
    image = decode(tf.constant(contents)).numpy().astype("int32")
    expected = np.asarray(transparent)[..., :3]
    # What a lossy picture loses of noise is not at issue here.
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= (0 if lossless else 255)


def test_takes_the_first_frame_of_a_gif():
    first, second = (Image.new("RGB", (9, 7), (v, 0, 0)) for v in (200, 50))
    contents = encoded(first, "GIF", save_all=True, append_images=[second])
    image = decode(tf.constant(contents))
    assert image.shape == (7, 9, 3)
    assert (image[..., 0] == 200).numpy().all()


def test_every_format_trains(tmp_path):
    (tmp_path / "a").mkdir()
    for number, (mode, kind) in enumerate(FORMATS):
        path = tmp_path / "a" / f"{number}.{kind.lower()}"
        path.write_bytes(encoded(picture().convert(mode), kind))
    data = load(f"folder:{tmp_path}", image_size=24, batch_size=len(FORMATS))
    images, _, weights = next(iter(data.epoch()))
    assert np.isfinite(images).all()
    assert (weights == 1).numpy().all()


def crop(contents, relative, position, size):
    """Decodes the window of these relative sides at this position."""
    shapes = tf.repeat([tf.constant(relative, tf.float32)], ATTEMPTS, 0)
    window = tf.constant(position, tf.float32)
    return decode_training_crop(
        tf.constant(contents), shapes, window, size, (0.5, 2.0)
    ).numpy()


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_large_crops_are_decoded_at_a_smaller_scale_without_loss(factor):
    # The whole of a square picture, shrunk by libjpeg alone.
    side = 32
    image = picture(side * factor, side * factor)
    contents = encoded(image, "JPEG", quality=95, subsampling=0)
    pixels = crop(contents, (1, 1), (0, 0), (side, side))
    expected = np.asarray(image.resize((side, side), Image.Resampling.BOX), "float32")
    # What JPEG itself changes, and the different filters.
    assert np.abs(pixels - expected).mean() < 2
    # Never from fewer pixels than are wanted: the steps between columns stay even.
    assert (np.abs(np.diff(pixels[..., 0].mean(0))) > 0).all()


def test_the_crop_is_where_it_should_be():
    contents = encoded(picture(480, 480), "JPEG", quality=95, subsampling=0)
    full = decode(tf.constant(contents)).numpy()
    top, left, side = 130, 290, 100
    position = (np.array([top, left]) + 0.5) / (480 - side + 1)
    pixels = crop(contents, (side / 480, side / 480), position, (100, 100))
    expected = full[top : top + side, left : left + side]
    # Decoding a part can differ by a level at its border.
    assert np.abs(pixels - expected).max() <= 1


def damaged():
    jpeg, png = encoded(picture(480, 360), "JPEG"), encoded(picture(), "PNG")
    return {
        "empty.jpg": b"",
        "garbage.jpg": b"this is not an image",
        "truncated.jpg": jpeg[: len(jpeg) * 3 // 4],
        "no_end.jpg": jpeg[:-40],
        "truncated.png": png[: len(png) // 2],
    }


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(6):
        path = tmp_path / "photos" / "ab"[number % 2] / f"good{number}.jpg"
        path.write_bytes(encoded(picture(), "JPEG"))
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "name, training",
    [
        ("garbage.jpg", True),
        ("no_end.jpg", False),
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in damaged()),
    ],
)
def test_stops_with_the_name_of_a_bad_image(folder, name, training):
    (folder / "a" / name).write_bytes(damaged()[name])
    data = load(f"folder:{folder}", image_size=16, batch_size=4, training=training)
    # Whichever crop is drawn, also one above the part that is missing.
    for epoch in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"a/{name}"):
            list(data.epoch(epoch))


@pytest.mark.parametrize("training", [True, False])
def test_skips_and_reports_bad_images(folder, tmp_path, training):
    for name, contents in damaged().items():
        (folder / "b" / name).write_bytes(contents)
    report = tmp_path / "reports" / "bad.jsonl"
    data = load(
        f"folder:{folder}",
        image_size=16,
        batch_size=4,
        training=training,
        skip_bad_images=True,
        report=report,
    )
    rows = [part for part in data.epoch()]
    weights = np.concatenate([batch[2] for batch in rows])
    images = np.concatenate([batch[0] for batch in rows])
    assert weights.sum() == 6
    assert np.isfinite(images).all()
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert {line["image"] for line in lines} == {
        str(folder / "b" / name) for name in damaged()
    }
    assert all(line["reason"] for line in lines)
    assert len(data.bad_images.found) == 5
    assert [file.name for file in report.parent.iterdir()] == ["bad.jsonl"]


@pytest.mark.slow
def test_one_report_for_training_and_validation_and_a_second_start(folder, tmp_path):
    report = tmp_path / "bad.jsonl"
    listed = set()
    for number, (name, training) in enumerate(
        [("a.png", True), ("b.png", False), ("c.png", True)]
    ):
        bad = folder / "a" / name
        bad.write_bytes(b"")
        data = load(
            f"folder:{folder}",
            image_size=16,
            batch_size=4,
            training=training,
            skip_bad_images=True,
            report=report,
        )
        list(data.epoch(number))
        listed.add(str(bad))
        assert set(read_report(report)) == listed
        # Found before, mended since: what was left out of the training stays named.
        bad.write_bytes(encoded(picture(), "PNG"))


@pytest.mark.slow
def test_workers_have_a_report_each(folder, tmp_path):
    names = [str(folder / "a" / f"{number}.png") for number in range(3)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    report = tmp_path / "bad.jsonl"
    data = load(
        f"folder:{folder}",
        image_size=16,
        batch_size=4,
        training=False,
        skip_bad_images=True,
        report=report,
    )
    for worker in range(2):
        list(data.sharded(worker, 2).epoch())
    reports = [read_report(path) for path in (report, tmp_path / "bad.1.jsonl")]
    assert all(reports)
    assert {name for each in reports for name in each} == set(names)
    assert set(data.bad_images.found) == set(names)


def test_a_batch_of_bad_images_only(folder, tmp_path):
    for number in range(4):
        (folder / "a" / f"00{number}.png").write_bytes(b"")
    data = load(
        f"folder:{folder}",
        "all",
        image_size=16,
        batch_size=4,
        training=False,
        skip_bad_images=True,
    )
    first = next(iter(data.epoch()))
    np.testing.assert_array_equal(first[2], 0)
    np.testing.assert_array_equal(first[0], 0)


def test_a_missing_file_stops_also_where_bad_images_are_skipped(folder):
    data = load(f"folder:{folder}", image_size=16, batch_size=4, skip_bad_images=True)
    (folder / "a" / "good0.jpg").unlink()
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(data.epoch())
    assert "good0.jpg; No such file" in undecodable_images(error.value)


@pytest.mark.parametrize("target", ["gone.jpg", "link.jpg"])
def test_a_link_that_leads_nowhere_is_named_or_skipped(target, folder, tmp_path):
    link = folder / "b" / "link.jpg"
    link.symlink_to(folder / "b" / target)
    options = {"image_size": 16, "batch_size": 4, "training": False}
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(load(f"folder:{folder}", "all", **options).epoch())
    assert str(link) in undecodable_images(error.value)
    report = tmp_path / "bad.jsonl"
    options |= {"skip_bad_images": True, "report": report}
    data = load(f"folder:{folder}", "all", **options)
    assert sum(float(sum(weights)) for _, _, weights in data.epoch()) == 6
    assert list(read_report(report)) == [str(link)]


def test_files_to_predict(folder, tmp_path):
    single = tmp_path / "one.image"
    single.write_bytes(encoded(picture(), "PNG"))
    source = image_files([folder, single])
    assert len(source.files) == 7 and source.files[-1] == str(single)
    data = load(source, "all", image_size=16, batch_size=4)
    assert not data.training and data.class_names == ()
    labels = np.concatenate([batch[1] for batch in data.epoch()])
    np.testing.assert_array_equal(labels, [0, 1, 2, 3, 4, 5, 6, 0])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_files("nowhere")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(ValueError, match="no images"):
        image_files(tmp_path / "hollow")
