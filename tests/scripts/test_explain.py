"""`keras-sa explain`, as a user runs it."""

import json
import re

import keras
import numpy as np
import pytest
import tiny_networks
from command_line import run
from needed import needed
from PIL import Image

from keras_sa.utils.evaluation_crop import evaluation_crop

needed("matplotlib")
NAMES = [f"class {letter}" for letter in "abcdefghij"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory as a training leaves it, and images."""
    folder = tmp_path_factory.mktemp("trained")
    network = tiny_networks.build_tiny(classifier_activation="softmax")
    tiny_networks.randomise(network).save(folder / "model.keras")
    settings = {
        "class_names": NAMES,
        "image_size": [32, 32],
        "channels": 3,
        "mean": [0.3, 0.4, 0.5],
        "std": [0.2, 0.2, 0.1],
        "crop_ratio": 0.5,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/more/a.png"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(path)
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def test_there_is_a_picture_for_each_image(trained, tmp_path):
    run("explain", trained, trained / "photos", "--output", tmp_path)
    pictures = ["a_explained.png", "a_explained_2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == pictures
    for name in pictures:
        pixels = np.asarray(Image.open(tmp_path / name))
        assert min(pixels.shape[:2]) > 300
        assert pixels.std() > 10


def test_images_are_prepared_as_for_prediction(trained, tmp_path):
    image = trained / "photos" / "a.png"
    line = run("explain", trained, image, "--output", tmp_path).output
    (found,) = run("predict", trained, image, "--output", "-").output.splitlines()[-1:]
    best = json.loads(found)["predictions"][0]
    assert f"{best['class']} {best['probability']:.1%}, " in line


def test_a_file_alone_has_numbers_or_given_labels_as_names(trained, tmp_path):
    model, image = trained / "model.keras", trained / "photos" / "a.png"
    arguments = [model, image, "--output", tmp_path, "--layer", "conv2_block1_out"]
    assert re.search(r"a\.png: \d \d+\.\d%", run("explain", *arguments).output)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(NAMES))
    output = run("explain", *arguments, "--labels", labels, "--crop-ratio", 1).output
    assert re.search(r"a\.png: class [a-j] \d+\.\d%", output)


@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.slow), "uint8"]
)
def test_a_network_that_takes_pixels_sees_what_it_learned(trained, tmp_path, dtype):
    inputs = keras.Input((32, 32, 3), dtype=dtype)
    x = keras.layers.Normalization(mean=[80.0] * 3, variance=[90.0**2] * 3)(inputs)
    network = keras.saving.load_model(trained / "model.keras")
    model = keras.Model(inputs, network(x))
    model.save(tmp_path / "pixels.keras")
    image = trained / "photos" / "a.png"
    pixels = evaluation_crop(np.asarray(Image.open(image)), (32, 32), 0.875)
    scores = model.predict(np.rint(pixels)[np.newaxis], verbose=0)[0]
    arguments = [tmp_path / "pixels.keras", image, "--output", tmp_path]
    line = run("explain", *arguments).output
    found, percent = re.search(r"a\.png: (\d) (\d+\.\d)%", line).groups()
    assert int(found) == scores.argmax()
    # Of float32 pixels the decimals are kept.
    assert abs(float(percent) / 100 - scores.max()) < {"float32": 0.01}.get(dtype, 1e-3)


@pytest.mark.slow
def test_a_bad_image_stops_or_is_left_out(trained, tmp_path):
    arguments = [trained, trained / "bad.png", trained / "photos", "--output", tmp_path]
    result = run("explain", *arguments, code=1)
    assert re.search(r"Error: .*bad\.png can't be decoded: Unknown", result.output)
    assert not list(tmp_path.iterdir())
    result = run("explain", *arguments, "--skip-bad-images")
    assert len(list(tmp_path.iterdir())) == 2


def test_no_image_is_overwritten(trained, tmp_path):
    for name in ("x.png", "x_explained.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    before = (tmp_path / "x_explained.png").read_bytes()
    result = run("explain", trained, tmp_path, "--output", tmp_path, code=1)
    assert "would replace images" in result.output
    assert (tmp_path / "x_explained.png").read_bytes() == before


@pytest.mark.parametrize(
    "model, options, message",
    [
        ("nothing.keras", [], "nothing.keras"),
        ("photos", [], "no finished training.*settings.json"),
        ("flat.keras", [], "no layer with a map"),
        ("maps.keras", [], "one output of the shape"),
        ("model.keras", ["--layer", "conv9"], "layer='conv9'"),
        ("model.keras", ["--groups", "3"], "groups=3"),
        ("model.keras", ["--crop-ratio", "2"], "crop_ratio=2"),
        ("model.keras", ["--image-size", "40"], r"image_size=\(40, 40\)"),
        ("model.keras", ["--labels", "photos/labels.txt"], "each of the 10 classes"),
        (".", ["--image-size", "32"], "--image-size would do nothing.*knows its own"),
        (".", ["--no-normalize"], "--no-normalize would do nothing"),
        ("model.keras", ["--multi-label"], "softmax gives one class"),
        ("model.keras", ["nothing.png"], "no file or folder.*nothing.png"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    trained, tmp_path, monkeypatch, model, options, message
):
    monkeypatch.chdir(trained)
    (trained / "photos" / "labels.txt").write_text("one\ntwo")
    inputs = keras.Input((32, 32, 3))
    if model == "flat.keras":
        x = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
        keras.Model(inputs, x).save(model)
    if model == "maps.keras":
        keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs)).save(model)
    result = run(
        "explain", model, "photos/a.png", *options, "--output", tmp_path, code=1
    )
    assert re.search(f"Error: .*{message}", result.output)
