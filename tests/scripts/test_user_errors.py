"""What is wrong with the input is told in a line; a defect keeps its traceback."""

import math

import pytest
from command_line import run

from keras_sa.recipes import classifier_recipes as recipes
from keras_sa.training.cluster import launch as processes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--recipe", "x", "--directory", "y"], "recipe='x'"),
        (["evaluate", "nowhere"], "no finished training in 'nowhere'"),
        (["evaluate", "x", "--picture-images", "3"], "--picture-images would do"),
        (["detect", "evaluate", "x", "--threshold", "0.5"], "--threshold would do"),
        (["export", "none.keras", "somewhere"], "none.keras"),
        (["compare", "folder:none", "--directory", "y"], "none"),
        (["benchmark", "attention", "--module", "simam"], "simam"),
    ],
)
def test_bad_input_is_told_in_a_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, code=1)
    assert result.stderr.startswith("Error: ") and message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


DIGITS = ("train", "--recipe", "digits", "--directory", "run")


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--batch-size", 0, 2),
        ("--epochs", 0, 2),
        ("--save-every", 0, 2),
        ("--learning-rate", 0, 1),
        ("--learning-rate", -0.1, 1),
        ("--learning-rate", "nan", 1),
        ("--policy", "float7", 1),
    ],
)
def test_values_that_train_nothing_are_refused(
    option, value, code, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = run(*DIGITS, "--dry-run", option, value, code=code)
    name = option if code == 2 else f"Received: {option[2:].replace('-', '_')}="
    assert name in result.stderr
    assert not list(tmp_path.iterdir())


def test_its_traceback_can_be_asked_for():
    with pytest.raises(ValueError, match="recipe='x'"):
        run("--traceback", "train", "--recipe", "x", "--directory", "y")


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(recipes, "get_recipe", lambda name: math.sqrt(-1))
    with pytest.raises(ValueError, match="math domain error|nonnegative"):
        run("train", "--recipe", "digits", "--directory", "y")


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_code_is_no_error(monkeypatch, code):
    monkeypatch.setattr(processes, "launch", lambda *_, **__: code)
    result = run("launch", "--workers", 2, "--", "train", code=code)
    assert "Error" not in result.output


def test_errors_of_the_command_line_itself_are_not_touched():
    result = run("train", "--recipe", code=2)
    assert "requires an argument" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["layer", "--repeats", 0],
        ["network", "--batch", 0],
        ["attention", "--size", 0],
        ["input", "--batches", 0],
        ["formats", "--images", 0],
        ["serving", "--repeats", 0],
        ["strategy", "--steps", 0],
    ],
    ids=str,
)
def test_nothing_to_measure_is_refused(arguments):
    result = run("benchmark", *arguments, code=2)
    assert f"Invalid value for '{arguments[1]}'" in result.output


@pytest.mark.parametrize("command", [["train"], ["detect", "train"]], ids=str)
@pytest.mark.parametrize(
    "option", ["--epochs", "--batch-size", "--replicas", "--save-every"]
)
def test_training_for_nothing_is_refused(command, option, tmp_path):
    arguments = ["--recipe", "digits", "--directory", tmp_path / "run", option, 0]
    result = run(*command, *arguments, code=2)
    assert f"Invalid value for '{option}'" in result.output
    assert not (tmp_path / "run").exists()
