"""Image files inside the graph: every kind is read, what costs too much is not."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from camera_photos import ORIENTATIONS
from camera_photos import as_pillow_shows
from camera_photos import camera_photo
from needed import needed
from serving_samples import image_file
from serving_samples import photo

from keras_sa.serving import ImageLimits
from keras_sa.serving.saved_model.untrusted_files import MAX_JPEG_SCANS
from keras_sa.serving.saved_model.untrusted_files import checked
from keras_sa.serving.saved_model.untrusted_files import decode_valid

Image = needed("PIL.Image")
KINDS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
SIZE = (13, 17)


def picture(mode="RGB"):
    return Image.fromarray(photo(*SIZE)).convert(mode)


def sixteen_bits():
    values = np.arange(0, 65536, 300, dtype="uint16")[: 13 * 16].reshape(13, 16)
    return Image.fromarray(values)


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
def decoded(files):
    """Rows of the top left 8x8 pixels, and their indices."""
    return decode_valid(
        files,
        lambda pixels: tf.cast(pixels[:8, :8], tf.float32),
        (8, 8, 3),
        ImageLimits(),
    )


FILES = {
    **{f"RGB {kind}": image_file(picture(), kind) for kind in KINDS},
    **{f"{mode} PNG": image_file(picture(mode), "PNG") for mode in ("L", "RGBA", "LA")},
    **{f"{mode} PNG": image_file(picture(mode), "PNG") for mode in ("P", "1")},
    "L JPEG": image_file(picture("L"), "JPEG"),
    "progressive JPEG": image_file(picture(), "JPEG", progressive=True),
    "L BMP": image_file(picture("L"), "BMP"),
    "P BMP": image_file(picture("P"), "BMP"),
    "RGBA BMP": image_file(picture("RGBA"), "BMP"),
    "RGBA WEBP": image_file(picture("RGBA"), "WEBP", lossless=True),
    "lossless WEBP": image_file(picture(), "WEBP", lossless=True),
    "16-bit PNG": image_file(sixteen_bits(), "PNG"),
    "large JPEG": image_file(photo(300, 200), "JPEG"),
}


def as_pillow_reads(file):
    image = Image.open(io.BytesIO(file))
    if image.mode.startswith("I"):
        # Pillow cuts off above 255 instead of scaling.
        return np.repeat((np.asarray(image) >> 8)[..., None], 3, -1)
    return np.asarray(image.convert("RGB"), "int32")


def test_all_kinds_and_sizes_in_one_batch():
    images, indices = decoded(tf.constant(list(FILES.values())))
    assert indices.numpy().tolist() == list(range(len(FILES)))
    for name, image in zip(FILES, images.numpy(), strict=True):
        expected = as_pillow_reads(FILES[name])[:8, :8]
        # As in training and evaluation; only lossy WebP is decoded differently.
        np.testing.assert_allclose(
            image, expected, rtol=0, atol=2 if name == "RGB WEBP" else 0, err_msg=name
        )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photos_are_turned_as_their_cameras_say(kind):
    # Wide or high when stored, and square, where the size tells nothing.
    scenes = [photo(20, 12, seed=1), photo(16, 16, seed=2)]
    files = [camera_photo(s, number, kind) for s in scenes for number in ORIENTATIONS]
    images, indices = decoded(tf.constant(files))
    assert indices.numpy().tolist() == list(range(16))
    for image, file in zip(images.numpy(), files, strict=True):
        np.testing.assert_array_equal(image, as_pillow_shows(file)[:8, :8])
    # What TF Serving has no Python for.
    graph = decoded.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    assert not [node.op for node in nodes if "PyFunc" in node.op]


def test_without_a_valid_image_there_is_one_row_of_zeros():
    for files in ([], [b""], [b"no image"] * 3):
        images, indices = decoded(tf.constant(files, tf.string))
        assert indices.numpy().tolist() == [-1]
        assert not images.numpy().any() and images.shape == (1, 8, 8, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_exact_and_hold_before_decoding(kind):
    file = image_file(picture(), kind)
    pixels, size = SIZE[0] * SIZE[1], len(file)
    # What is refused never reaches the decoder: an empty file does in its place.
    for limits, accepted in (
        (ImageLimits(size, pixels), True),
        (ImageLimits(size - 1, pixels), False),
        (ImageLimits(size, pixels - 1), False),
    ):
        assert bool(checked(tf.constant(file), limits).numpy()) is accepted, limits


def with_bytes(file, position, data):
    return file[:position] + data + file[position + len(data) :]


def scans(count):
    """A JPEG with so many scans that say nothing new."""
    file = image_file(picture(), "JPEG")
    start = file.index(b"\xff\xda")
    return file[:start] + (file[start:-2] * count) + b"\xff\xd9"


def animated(kind, frames=3):
    pictures = [Image.fromarray(photo(*SIZE, seed)) for seed in range(frames)]
    return image_file(
        pictures[0], kind, save_all=True, append_images=pictures[1:], lossless=True
    )


REFUSED = {
    "PNG of 2**31 pixels a side": with_bytes(
        FILES["RGB PNG"], 16, struct.pack(">II", 2**31 - 1, 2**31 - 1)
    ),
    "PNG of no width": with_bytes(FILES["RGB PNG"], 16, bytes(4)),
    "BMP of 60,000 pixels a side, upside down": with_bytes(
        FILES["RGB BMP"], 18, struct.pack("<ii", 60_000, -60_000)
    ),
    "GIF with a huge canvas": with_bytes(FILES["RGB GIF"], 6, b"\xff" * 4),
    "JPEG of many scans": scans(MAX_JPEG_SCANS + 1),
    "compressed BMP": with_bytes(FILES["P BMP"], 30, struct.pack("<I", 1)),
    "animated WebP": animated("WEBP"),
    "TIFF": image_file(picture(), "TIFF"),
    "GIF without an end": FILES["RGB GIF"][:-20],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_do_harm_is_not_decoded(name):
    assert checked(tf.constant(REFUSED[name]), ImageLimits()).numpy() == b""
    _, indices = decoded(tf.constant([FILES["RGB PNG"], REFUSED[name], b""]))
    assert indices.numpy().tolist() == [0]


def test_of_a_gif_only_the_first_frame_is_decoded():
    file = animated("GIF", frames=200)
    first = checked(tf.constant(file), ImageLimits()).numpy()
    assert len(first) < len(file) / 100
    images, _ = decoded(tf.constant([file]))
    np.testing.assert_array_equal(images[0], as_pillow_reads(file)[:8, :8])


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_pixels": -1}])
def test_limits_are_positive(limits):
    with pytest.raises(ValueError, match="must be at least 1. Received"):
        ImageLimits(**limits)
