"""The commands: train, evaluate and predict, as a user runs them."""

import contextlib
import csv
import dataclasses
import json
import re

import numpy as np
import pytest
import typer
from command_line import run
from PIL import Image
from sklearn import datasets

from keras_sa.data import MissingSplitError
from keras_sa.data.bad_images import read_report
from keras_sa.recipes import training_session
from keras_sa.recipes.classifier_recipes import get_recipe
from keras_sa.recipes.classifier_session import load_trained
from keras_sa.recipes.detector_session import load_detector
from keras_sa.scripts.train_images import training_images


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def last_json(output):
    return json.loads(output[output.rindex("{") :])


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Of a training on a tenth of the digits."""
    directory = tmp_path_factory.mktemp("digits")
    digits = datasets.load_digits()
    images = (digits.images * 15).astype("uint8")
    np.savez(
        directory / "digits.npz",
        x_train=images[:128],
        y_train=digits.target[:128],
        x_test=images[128:180],
        y_test=digits.target[128:180],
    )
    return [
        *("--recipe", "digits", "--data", f"npz:{directory / 'digits.npz'}"),
        *("--directory", directory / "run", "--epochs", 2, "--batch-size", 32),
    ]


@pytest.fixture(scope="module")
def trained(arguments):
    run("train", *arguments)
    return arguments[5]


@pytest.fixture(scope="module")
def evaluation(trained):
    return last_json(run("evaluate", trained, "--strategy", "single").output)


def test_training_writes_its_files(trained):
    rows = read_lines(trained / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["images_per_second"] > 0
    assert rows[-1]["loss"] < rows[0]["loss"]
    with (trained / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in table] == [row["loss"] for row in rows]
    assert (trained / "learning_curve.png").stat().st_size > 1000
    assert len(list((trained / "state").glob("*.npz"))) == 2


def test_same_command_again_trains_nothing(trained, arguments):
    before = (trained / "metrics.jsonl").read_text()
    run("train", *arguments)
    assert (trained / "metrics.jsonl").read_text() == before


def test_refused_training_changes_no_finished_one(trained, arguments, tmp_path):
    before = load_trained(trained)[1]
    folder = photos(tmp_path / "photos", ("train",), "ab")
    other = ("--data", f"folder:{folder}", "--batch-size", 2)
    output = run("train", *arguments, *other, code=1).output
    assert "holds another training" in output
    assert "class_names was" in output
    assert load_trained(trained)[1] == before


def test_evaluation_is_that_of_the_training(trained, evaluation):
    last = read_lines(trained / "metrics.jsonl")[-1]
    assert evaluation["images"] == 52
    assert evaluation["accuracy"] == pytest.approx(last["val_accuracy"])
    assert evaluation["loss"] == pytest.approx(last["val_loss"], rel=1e-4)


@pytest.mark.slow
def test_evaluation_on_two_replicas_is_the_same(trained, evaluation):
    # 52 images leave the last batch of 50 with one for each replica.
    output = run(
        "evaluate", trained, "--batch-size", 50, "--strategy", "mirrored"
    ).output
    assert last_json(output) == pytest.approx(evaluation, rel=1e-5)


def test_prediction_names_files_and_classes(trained, tmp_path):
    (tmp_path / "more").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "more/b.png", "more/c.png"):
        pixels = rng.integers(0, 256, (20, 30), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    lines = tmp_path / "new" / "out.jsonl"
    run("predict", trained, tmp_path / "a.png", tmp_path / "more", "--output", lines)
    rows = read_lines(lines)
    assert [row["file"].rpartition("/")[2] for row in rows] == [
        "a.png",
        "b.png",
        "c.png",
    ]
    best = [row["predictions"][0] for row in rows]
    assert all(0 < each["probability"] <= 1 for each in best)
    assert all(re.fullmatch(r"\d", each["class"]) for each in best)
    table = run("predict", trained, tmp_path / "more").output
    assert "probability" in table


def test_names_are_printed_as_they_are(trained, tmp_path):
    name = "[red]:cat:.png"
    Image.new("L", (8, 8)).save(tmp_path / name)
    # Short paths, which the table does not break.
    with contextlib.chdir(tmp_path):
        assert name in run("predict", trained, name).output


def test_prediction_of_a_bad_image(trained, tmp_path):
    (tmp_path / "bäd.png").write_bytes(b"no image")
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    error = run("predict", trained, tmp_path, code=1).stderr
    assert f"Error: Can't be decoded as an image: {tmp_path / 'bäd.png'} (Unk" in error
    assert "Traceback" not in error and error.endswith("required.)\n")
    lines = tmp_path / "out.jsonl"
    run("predict", trained, tmp_path, "--skip-bad-images", "--output", lines)
    assert [row["file"] for row in read_lines(lines)] == [str(tmp_path / "good.png")]


def test_skipped_images_are_counted_and_named(trained, tmp_path):
    for name in ("bad.png", "good.png", "other.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"")
    report = tmp_path / "reports" / "bad.jsonl"
    skip = ("--skip-bad-images", "--report", report)
    result = run("predict", trained, tmp_path, *skip, "--output", "-")
    assert len(result.stdout.splitlines()) == 2
    assert f"Left out: {tmp_path / 'bad.png'} (the file is empty)" in result.stderr
    assert list(read_report(report)) == [str(tmp_path / "bad.png")]


def photos(path, splits, classes="0123456789"):
    for split in splits:
        for name in classes:
            (path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(path / split / name / f"{name}.png")
    return path


@pytest.mark.slow
def test_bad_images_of_training_and_validation_are_listed(tmp_path, trained):
    folder = photos(tmp_path / "photos", ("train", "test"))
    bad = {str(folder / split / "3" / "bad.png") for split in ("train", "test")}
    for name in bad:
        (tmp_path / name).write_bytes(b"")
    options = ("--data", f"folder:{folder}", "--skip-bad-images")
    output = run(
        "train",
        *("--recipe", "digits", "--directory", tmp_path / "run", "--epochs", 1),
        *("--batch-size", 11, *options),
    ).output
    assert set(read_report(tmp_path / "run" / "bad_images.jsonl")) == bad
    assert "2 images that can't be decoded were left out" in output
    found = last_json(run("evaluate", trained, *options).output)
    assert (found["images"], found["skipped"]) == (10, 1)


def test_folder_can_hold_out_a_part(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (8, 8)).save(folder / name / f"{number}.png")
    options = {"seed": 0, "batch_size": 4}
    recipe = dataclasses.replace(get_recipe("digits"), data=f"folder:{folder}")
    assert training_images(recipe, **options)[1] is None
    images, validation, _ = training_images(recipe, validation_fraction=0.25, **options)
    assert (images.num_examples, validation.num_examples) == (12, 4)
    images, validation, _ = training_images(recipe, f"folder:{folder}", **options)
    assert (images.num_examples, validation.num_examples) == (16, 16)


@pytest.mark.slow
def test_without_test_images_the_held_out_ones_are_evaluated(tmp_path):
    folder = photos(tmp_path / "photos", ("",), "ab")
    for name in "ab":
        for number in range(7):
            Image.new("L", (8, 8)).save(folder / name / f"{number}.png")
    arguments = ["--recipe", "digits", "--data", f"folder:{folder}", "--epochs", 1]
    arguments += ["--batch-size", 4, "--directory", tmp_path / "run"]
    run("train", *arguments, "--validation-fraction", 0.25)
    row = read_lines(tmp_path / "run" / "metrics.jsonl")[-1]
    found = last_json(run("evaluate", tmp_path / "run").output)
    assert found["images"] == 4
    assert found["accuracy"] == pytest.approx(row["val_accuracy"])
    assert (
        "'test'" in run("evaluate", tmp_path / "run", "--split", "test", code=1).stderr
    )


def test_validation_that_can_not_be_is_an_error(tmp_path):
    """It must not pass for none."""
    recipe = get_recipe("digits")
    options = {"seed": 0, "batch_size": 4}
    folder = photos(tmp_path / "unknown", ("train", "val"))
    photos(folder, ("val",), "x")
    recipe = dataclasses.replace(recipe, data=f"folder:{folder}")
    with pytest.raises(ValueError, match=r"\['x'\]"):
        training_images(recipe, **options)
    folder = photos(tmp_path / "photos", ("train",))
    recipe = dataclasses.replace(recipe, data=f"folder:{folder}")
    with pytest.raises(MissingSplitError, match="'test'"):
        training_images(recipe, validation_split="test", **options)
    other = photos(tmp_path / "other", ("",), "ab")
    with pytest.raises(typer.BadParameter, match="validation has the classes"):
        training_images(recipe, f"folder:{other}", **options)


def test_one_class_is_refused(tmp_path):
    folder = photos(tmp_path / "photos", ("",), "a")
    recipe = dataclasses.replace(get_recipe("digits"), data=f"folder:{folder}")
    with pytest.raises(typer.BadParameter, match=r"two classes.*\['a'\]"):
        training_images(recipe, seed=0, batch_size=4)


@pytest.mark.slow
def test_augmentations_have_switches(tmp_path, arguments):
    changed = [
        *("--mixup", 0.2, "--cutmix", 1.0, "--label-smoothing", 0.1),
        *("--random-erasing", 0.25, "--epochs", 1),
    ]
    run("train", *arguments, "--directory", tmp_path / "run", *changed)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    augmentation = settings["recipe"]["augmentation"]
    assert augmentation["mixup"] == 0.2
    assert augmentation["cutmix"] == 1.0
    assert augmentation["label_smoothing"] == 0.1
    assert augmentation["random_erasing"] == 0.25
    # What the recipe has is kept.
    assert not augmentation["flip"]
    grey = [*arguments, "--directory", tmp_path / "run", "--rand-augment", 2]
    assert "RandAugment takes RGB" in run("train", *grey, code=1).output


def test_uneven_batch_is_refused_before_anything_is_done(tmp_path, arguments):
    options = ("--directory", tmp_path / "run", "--batch-size", 33, "--dry-run")
    result = run("train", *arguments, *options, "--strategy", "mirrored", code=1)
    assert "batch_size=33, replicas=2" in result.output


def test_dry_run_only_tells(tmp_path, arguments):
    directory = tmp_path / "run"
    output = run("train", *arguments, "--directory", directory, "--dry-run").output
    for part in ("CPU:0", "32 a device", "4 an epoch", "parameters", "GB"):
        assert part in output
    assert not directory.exists()


@pytest.mark.parametrize(
    "option, said",
    [((), "over all devices"), (("--no-sync-batch-norm",), "of each device")],
    ids=["recipe", "option"],
)
def test_dry_run_tells_batch_statistics_and_xla(tmp_path, arguments, option, said):
    options = ("--directory", tmp_path / "run", "--dry-run", *option)
    lines = run("train", *arguments, *options).output.splitlines()
    assert any("batch statistics" in line and said in line for line in lines)
    assert any("XLA" in line and "not used: for GPUs" in line for line in lines)


def test_batch_statistics_of_each_device_are_trained_with(
    tmp_path, arguments, monkeypatch
):
    found = {}
    monkeypatch.setattr(
        training_session, "fit", lambda *args, **options: found.update(options)
    )
    options = ("--directory", tmp_path / "run", "--no-sync-batch-norm")
    # Nothing is trained, so that there is no result to tell.
    run("train", *arguments, *options, code=1)
    assert found["synchronized"] is False


def test_unfinished_training_has_no_model(tmp_path):
    assert "no finished training" in run("evaluate", tmp_path, code=1).output


@pytest.mark.parametrize(
    "load, other", [(load_trained, "sides"), (load_detector, "image_size")]
)
def test_a_classifier_is_no_detector(tmp_path, load, other):
    (tmp_path / "model.keras").touch()
    (tmp_path / "settings.json").write_text(json.dumps({other: [64, 64]}))
    with pytest.raises(ValueError, match="another kind of network"):
        load(tmp_path)


def test_fine_tuning_of_nothing_is_refused(tmp_path):
    result = run(
        "train",
        *("--recipe", "fine_tune", "--weights", "none", "--data", "digits"),
        *("--directory", tmp_path / "run"),
        code=2,
    )
    assert "keeps the statistics of the batch norms" in " ".join(
        result.output.replace("│", " ").split()
    )
    assert not (tmp_path / "run").exists()
