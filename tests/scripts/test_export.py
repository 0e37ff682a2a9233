"""The commands around a served model, as a user runs them."""

import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from command_line import run
from needed import needed
from serving_samples import LABELS
from serving_samples import image_file
from serving_samples import photo
from serving_samples import randomize
from serving_samples import small_network

from keras_sa.applications import sa_resnet
from keras_sa.scripts.export import FORMATS
from keras_sa.serving.formats.conversion import WRITERS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    randomize(small_network()).save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    return folder


def test_a_saved_model_for_tf_serving(trained, tmp_path):
    needed("tensorflow_serving")
    arguments = [trained / "model.keras", tmp_path / "flowers", "--version", 3]
    arguments += ["--labels", trained / "labels.txt", "--server-files"]
    result = run("export", *arguments)
    version = tmp_path / "flowers" / "3"
    assert result.output.split() == [str(version)]
    assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()
    assert (tmp_path / "flowers" / "docker-compose.yml").is_file()
    assert "exists" in run("export", *arguments, code=1).output
    run("export", *arguments, "--force")


@pytest.mark.slow
def test_a_network_that_normalises_its_images_itself(trained, tmp_path):
    run("export", trained / "model.keras", tmp_path, "--no-normalize", "--no-fused")
    model = tf.keras.models.load_model(trained / "model.keras")
    images = np.stack([photo(32, 32)]).astype("float32")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["predict_images"]
    np.testing.assert_allclose(
        served(images=images)["probabilities"],
        model.predict(images, verbose=0),
        atol=1e-5,
    )


@pytest.mark.parametrize(("suffix", "format"), [(".keras", "keras"), (".onnx", "onnx")])
def test_other_formats(trained, tmp_path, suffix, format):
    needed("onnx")
    path = tmp_path / f"network{suffix}"
    run("export", trained / "model.keras", path, "--format", format)
    assert path.stat().st_size > 10_000
    # The name says as much.
    run("export", trained / "model.keras", tmp_path / f"other{suffix}")
    assert (tmp_path / f"other{suffix}").is_file()


def test_the_names_of_all_formats_are_known():
    found = {suffix: WRITERS[format][1][0] for suffix, format in FORMATS.items()}
    assert found == {suffix: suffix for suffix in FORMATS}
    assert set(FORMATS.values()) == set(WRITERS)


@pytest.mark.parametrize(
    ("output", "options", "named"),
    [
        ("a.onnx", ["--labels", "none.txt"], "--labels.*a SavedModel alone"),
        ("a.keras", ["--top-k", "5"], "--top-k"),
        ("a.tflite", ["--version", "7", "--no-fused"], "--version, --no-fused"),
        ("a.xml", ["--multi-label"], "--multi-label"),
        ("a.onnx", ["--image-size", "32"], "--image-size.*--calibration"),
        ("a", ["--calibration", "photos"], "--calibration.*int8"),
        ("a", ["--no-normalize", "--mean", "0.5"], "--mean.*without `--no-normalize`"),
    ],
)
def test_options_that_do_nothing_are_refused(trained, tmp_path, output, options, named):
    arguments = [trained / "model.keras", tmp_path / output, *options]
    found = run("export", *arguments, code=1).output
    assert re.search(f"Error: .*{named}", found), found
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--image-size=32", "--no-normalize", "--std=0.2"])
def test_a_training_knows_how_its_images_are_prepared(trained, tmp_path, option):
    found = run("export", trained, tmp_path / "a", option, code=1).output
    assert f"Error: {option.split('=')[0]} would do nothing" in found
    assert "a training knows its own" in found


@pytest.mark.slow
def test_logits_of_several_labels(tmp_path):
    model = randomize(small_network(classifier_activation=None))
    model.save(tmp_path / "model.keras")
    run("export", tmp_path / "model.keras", tmp_path / "served", "--multi-label")
    served = tf.saved_model.load(str(tmp_path / "served" / "1"))
    images = np.stack([photo(32, 32)]).astype("float32")
    np.testing.assert_allclose(
        served.signatures["predict_images"](images=images)["probabilities"],
        tf.nn.sigmoid(model(sa_resnet.preprocess_input(images))),
        atol=1e-5,
    )


def test_means_are_refused_for_a_network_with_its_own(trained, tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(keras.layers.RandomFlip()(inputs))
    x = tf.keras.models.load_model(trained / "model.keras")(x)
    keras.Model(inputs, x).save(tmp_path / "model.keras")
    options = [f"--{name}={value}" for name in ("mean", "std") for value in (0.1,) * 3]
    arguments = [tmp_path / "model.keras", tmp_path / "served", *options]
    assert "applied twice" in run("export", *arguments, code=1).output


@pytest.mark.filterwarnings("ignore")
def test_int8_is_calibrated_with_a_folder_of_images(trained, tmp_path):
    needed("onnxruntime")
    (tmp_path / "images" / "a").mkdir(parents=True)
    for seed in range(3):
        data = image_file(photo(seed=seed), "JPEG")
        (tmp_path / "images" / "a" / f"{seed}.jpg").write_bytes(data)
    arguments = [trained / "model.keras", tmp_path / "network.onnx", "--format", "onnx"]
    arguments += ["--precision", "int8"]
    assert "calibration" in run("export", *arguments, code=1).output
    run("export", *arguments, "--calibration", tmp_path / "images")


@pytest.mark.filterwarnings("ignore")
def test_an_image_of_the_calibration_that_is_none_is_named(trained, tmp_path):
    needed("onnxruntime")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    arguments = [trained / "model.keras", tmp_path / "network.onnx", "--format", "onnx"]
    arguments += ["--precision", "int8", "--calibration", tmp_path / "images"]
    result = run("export", *arguments, code=1)
    assert result.output.startswith("Error: ") and "broken.jpg" in result.output
    assert not (tmp_path / "network.onnx").exists()


@pytest.mark.slow
def test_a_grey_network_gets_its_normalisation(tmp_path):
    model = randomize(small_network(input_shape=(32, 32, 1)))
    model.save(tmp_path / "grey.keras")
    arguments = [tmp_path / "grey.keras", tmp_path / "grey"]
    assert "`mean` and `std`" in run("export", *arguments, code=1).output
    run("export", *arguments, "--mean", 0.3, "--std", 0.2)
    images = np.stack([photo(32, 32)[..., :1]]).astype("float32")
    served = tf.saved_model.load(str(tmp_path / "grey" / "1"))
    np.testing.assert_allclose(
        served.signatures["predict_images"](images=images)["probabilities"],
        model.predict((images / 255 - 0.3) / 0.2, verbose=0),
        atol=1e-5,
    )


def test_what_cannot_be_done_is_said_in_one_line(trained, tmp_path):
    model = trained / "model.keras"
    for arguments in (
        [model, tmp_path / "network.txt", "--format", "onnx"],
        [tmp_path, tmp_path / "network"],
    ):
        result = run("export", *arguments, code=1)
        assert result.output.startswith("Error: ")
    result = run("export", model, tmp_path / "a", "--format", "coreml", code=1)
    assert "'saved_model', 'keras', 'onnx'" in result.output
    (tmp_path / "image.png").write_bytes(image_file(photo()))
    port_of_nobody = "http://127.0.0.1:9"
    options = ("--name", "a", "--url", port_of_nobody)
    result = run("client", tmp_path / "image.png", *options, code=1)
    assert "No predictions" in result.output
    image = tmp_path / "image.png"
    for command, *arguments in (
        ["client", tmp_path / "none.png", "--name", "a"],
        ["client", image, "--name", "a", "--url", "ftp://127.0.0.1"],
        ["serve", tmp_path / "none"],
    ):
        result = run(command, *arguments, code=1)
        assert result.output.startswith("Error: "), result.output


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        (["export", "--format", "onnx"], "onnx", "onnx"),
        (["export", "--format", "openvino"], "openvino", "openvino"),
        (
            ["export", "--server-files"],
            "tensorflow_serving.apis.predict_pb2",
            "serving",
        ),
        (["client", "--grpc", "127.0.0.1:9"], "grpc", "serving"),
        (["serve"], "kserve", "serve"),
    ],
    ids=str,
)
def test_a_missing_extra_is_named(
    trained, tmp_path, monkeypatch, command, module, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    name, *options = command
    suffix = {"onnx": ".onnx", "openvino": ".xml"}.get(extra, "")
    arguments = {
        "export": [trained / "model.keras", tmp_path / f"network{suffix}"],
        "client": [trained / "labels.txt", "--name", "a"],
        "serve": [tmp_path],
    }[name]
    result = run(name, *arguments, *options, code=1)
    assert f"pip install 'keras-sa[{extra}]'" in result.output
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
