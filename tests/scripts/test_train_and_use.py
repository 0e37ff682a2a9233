"""From a base to an answer: both stages of `fine_tune`, then all that uses them."""

import dataclasses
import json
from types import MappingProxyType

import keras
import numpy as np
import pytest
import tensorflow as tf
from command_line import run
from PIL import Image
from tiny_networks import build_tiny
from tiny_networks import randomise

import keras_sa.visualization
from keras_sa.recipes import load_trained
from keras_sa.recipes.classifier_recipes import RECIPES
from keras_sa.recipes.new_head import STANDARDISED
from keras_sa.training.resuming.generations import Generations
from keras_sa.visualization import predictions_figure

OPTIONS = {"blocks": (1, 1), "width": 16, "stem": "small"}
CLASSES = 3


@dataclasses.dataclass
class Trained:
    base: dict
    directory: object
    files: list
    labels: np.ndarray


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny network, fine-tuned by the command on images of another shape."""
    folder = tmp_path_factory.mktemp("fine_tune")
    base = randomise(build_tiny(input_shape=(16, 16, 3)))
    base.save(folder / "base.keras")
    rng = np.random.default_rng(0)
    labels = np.arange(36) % CLASSES
    # Not square: how the input is cut out of it matters. The class is the colour.
    images = rng.integers(0, 160, (36, 20, 28, 3))
    images[np.arange(36), :, :, labels] += 60
    images = images.astype("uint8")
    train, test = slice(0, 24), slice(24, 36)
    np.savez(
        folder / "images.npz",
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
    )
    files = [folder / "files" / f"{number:02d}.png" for number in range(12)]
    files[0].parent.mkdir()
    for file, image in zip(files, images[test], strict=True):
        Image.fromarray(image).save(file)
    recipe = dataclasses.replace(
        RECIPES["fine_tune"],
        model="AttentionResNet",
        model_options=MappingProxyType(
            {**OPTIONS, "attention_options": {"groups": 4}, "weights": None}
        ),
        epochs=3,
        min_steps=6,
        ema=0.5,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "fine_tune", recipe)
        run(
            "train",
            *("--recipe", "fine_tune", "--weights", folder / "base.keras"),
            *("--data", f"npz:{folder / 'images.npz'}", "--image-size", 16),
            *("--batch-size", 8, "--directory", folder / "run"),
        )
    weights = {variable.path: variable.numpy() for variable in base.variables}
    return Trained(weights, folder / "run", files, labels[test])


@pytest.fixture(scope="module")
def predicted(trained):
    """The probabilities of `keras-sa predict`, by class number."""
    lines = trained.directory.parent / "predicted.jsonl"
    run("predict", trained.directory, trained.files[0].parent, "--output", lines)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["file"] for row in rows] == [str(file) for file in trained.files]
    names = load_trained(trained.directory)[1]["class_names"]
    found = [{p["class"]: p["probability"] for p in row["predictions"]} for row in rows]
    return np.array([[row[name] for name in names] for row in found])


def state_of(directory):
    """Arrays by the names of the variables."""
    arrays, metadata = Generations(directory).read()
    names = [name.split()[0] for name in metadata["names"]]
    return {name: arrays[f"variables/{i}"] for i, name in enumerate(names)}


def changed(trained, values):
    """The base's variables that have other values now, without its head."""
    pairs = zip(trained.base.items(), values, strict=False)
    return {
        path
        for (path, before), now in pairs
        if "predictions" not in path and not np.array_equal(before, now)
    }


def test_the_head_stage_trains_the_head_alone(trained):
    state = state_of(trained.directory / "head_state")
    assert np.abs(state["predictions/kernel"]).max() > 0
    arrays, _ = Generations(trained.directory / "head_state").read()
    # The model's variables come first, in the order of its layers.
    assert not changed(trained, (arrays[f"variables/{i}"] for i in range(len(state))))
    assert any("predictions_kernel_momentum" in name for name in state)
    assert not any("conv" in name and "momentum" in name for name in state)


def test_batch_norms_are_kept_and_all_else_is_trained(trained):
    model, _ = load_trained(trained.directory)
    now = changed(trained, (variable.numpy() for variable in model.variables))
    norms = [
        f"{layer.name}/"
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms and not [path for path in now if path.startswith(tuple(norms))]
    kernels = {path for path in trained.base if path.endswith("conv/kernel")}
    assert kernels and kernels <= now
    assert any("attention" in path for path in now)


def test_the_averages_of_the_weights_are_what_is_saved(trained):
    state = state_of(trained.directory / "state")
    model, _ = load_trained(trained.directory)
    path = next(v.path for v in model.variables if v.path.endswith("conv/kernel"))
    average = next(
        name
        for name in state
        if path.replace("/", "_") in name and name.endswith("average")
    )
    saved = next(v.numpy() for v in model.variables if v.path == path)
    np.testing.assert_array_equal(saved, state[average])
    assert not np.array_equal(saved, state[path])


def test_the_network_is_the_plain_one(trained):
    model, _ = load_trained(trained.directory)
    plain = build_tiny(
        input_shape=(16, 16, 3), classes=CLASSES, classifier_activation="softmax"
    )
    assert [layer.name for layer in model.layers] == [
        layer.name for layer in plain.layers
    ]
    # While it was trained, the features were standardised.
    state = state_of(trained.directory / "state")
    assert state[f"{STANDARDISED}/moving_variance"][0] != 1


def test_few_images_are_seen_in_more_epochs(trained):
    rows = (trained.directory / "metrics.jsonl").read_text().splitlines()
    # Three steps an epoch: at least six for the head, then three epochs.
    assert len(rows) == 2 + 3


def test_prediction_is_what_is_evaluated(trained, predicted):
    output = run("evaluate", trained.directory, "--strategy", "single").output
    found = json.loads(output[output.rindex("{") :])
    chosen = predicted[np.arange(12), trained.labels]
    assert found["images"] == 12
    assert found["accuracy"] == np.mean(predicted.argmax(1) == trained.labels)
    assert found["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
    last = (trained.directory / "metrics.jsonl").read_text().splitlines()[-1]
    # During training they are the weights, not their averages.
    assert found["accuracy"] == pytest.approx(json.loads(last)["val_accuracy"], abs=0.2)


def test_what_is_evaluated_can_be_seen(trained, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        keras_sa.visualization,
        "predictions_figure",
        lambda *shown: drawn.append(shown) or predictions_figure(*shown),
    )
    file = tmp_path / "seen" / "predictions.png"
    run("evaluate", trained.directory, "--picture", file, "--picture-images", 5)
    assert file.read_bytes().startswith(b"\x89PNG")
    ((images, labels, answers, scores),) = drawn
    names = load_trained(trained.directory)[1]["class_names"]
    # The first and the last one are among them.
    chosen = [0, 3, 6, 8, 11]
    assert labels == tuple(names[trained.labels[number]] for number in chosen)
    expected = run(
        *("predict", trained.directory, *[trained.files[n] for n in chosen]),
        *("--output", "-"),
    ).stdout
    for line, image, answer, score in zip(
        expected.splitlines(), images, answers, scores, strict=True
    ):
        best = json.loads(line)["predictions"][0]
        assert answer == best["class"]
        assert score == pytest.approx(best["probability"], rel=1e-4)
        # Not the normalised one: the colours are those of the file, at most 219.
        assert image.shape == (16, 16, 3) and 100 < image.max() <= 220


@pytest.mark.slow
def test_only_what_could_be_decoded_is_seen(trained, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        keras_sa.visualization,
        "predictions_figure",
        lambda *shown: drawn.append(shown) or predictions_figure(*shown),
    )
    names = load_trained(trained.directory)[1]["class_names"]
    for name in names:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "photos" / name / f"{number}.png"
            Image.new("RGB", (16, 16)).save(path)
    (tmp_path / "photos" / names[0] / "0.png").write_bytes(b"")
    found = run(
        *("evaluate", trained.directory, "--data", f"folder:{tmp_path / 'photos'}"),
        *("--split", "all", "--skip-bad-images", "--picture", tmp_path / "seen.png"),
    )
    counts = json.loads(found.stdout.splitlines()[-1])
    ((images, labels, *_),) = drawn
    assert len(images) == counts["images"] == 2 * len(names) - 1
    assert labels.count(names[0]) == 1


def test_the_served_answer_is_the_prediction(trained, predicted, tmp_path):
    run("export", trained.directory, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served" / "1"))
    files = tf.constant([file.read_bytes() for file in trained.files])
    answer = served.signatures["serving_default"](image_bytes=files)
    # Fused, and resized in batches: float32 in another order.
    np.testing.assert_allclose(answer["probabilities"], predicted, atol=1e-4)
    names = load_trained(trained.directory)[1]["class_names"]
    best = [names[index].encode() for index in predicted.argmax(1)]
    assert answer["labels"].numpy()[:, 0].tolist() == best
