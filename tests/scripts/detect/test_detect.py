"""`keras-sa detect` from the data to pictures, and on where it stopped."""

import json

import pytest
from command_line import run
from needed import needed

from keras_sa.data.coco import Shapes
from keras_sa.data.coco import write_shapes
from keras_sa.recipes.detector_session import load_detector

needed("pycocotools")


def detect(*arguments, code=0):
    return run("detect", *arguments, code=code).output


def train(directory, shapes, *more):
    return detect(
        *("train", "--directory", directory, "--data", f"coco:{shapes}"),
        *("--detector", "mask_rcnn", "--sides", 64, 96, "--batch-size", 4),
        *("--strategy", "single", *more),
    )


@pytest.mark.slow
def test_train_evaluate_predict(tmp_path):
    shapes = write_shapes(tmp_path / "shapes", Shapes(8, 4, 64))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, shapes, "--epochs", 2)
    train(parts, shapes, "--epochs", 1)
    output = train(parts, shapes, "--epochs", 2)
    (last,) = [line for line in output.splitlines() if line.startswith('{"epoch"')]
    assert json.loads(last)["epoch"] == 2
    _, settings = load_detector(whole)
    assert settings["class_names"] == ["disc", "square", "triangle"]
    assert settings["category_ids"] == [3, 7, 18]

    row = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    picture = tmp_path / "seen" / "objects.png"
    output = detect("evaluate", whole, "--picture", picture, "--threshold", 0)
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(output.splitlines()[-1])
    assert found.pop("images") == 4 and len(found) == 12
    assert found == {name: row[f"val_{name}"] for name in found}

    output = tmp_path / "found.jsonl"
    (shapes / "val" / "broken.png").write_bytes(b"no image")
    pictures = tmp_path / "pictures"
    detect(
        *("predict", whole, shapes / "val", "--threshold", 0, "--output", output),
        *("--pictures", pictures, "--skip-bad"),
    )
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == len(list(pictures.glob("*.png"))) == 4
    for row in rows:
        for each in row["objects"]:
            assert each["class"] in settings["class_names"]
            assert 0 <= each["score"] <= 1 and min(each["bbox"]) >= 0
            assert len(each["segmentation"]["size"]) == 2
    detect("predict", whole, shapes / "val", code=1)

    (shapes / "val" / f"{3:012d}.png").write_bytes(b"no image")
    left = json.loads(detect("evaluate", whole, "--skip-bad").splitlines()[-1])
    assert left["images"] == 3 and left["left_out"] == {"unreadable image": 1}
    error = run("detect", "evaluate", whole, code=1).stderr
    assert f"\nError: Can't use the image '{3:012d}.png': Unknown image" in f"\n{error}"

    needed("tensorflow_serving")
    detect("export", whole, tmp_path / "served", "--server-files")
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()
    assert list(tmp_path.glob("served/1/assets.extra/*warmup*"))
    assert (tmp_path / "served" / "models.config").is_file()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--recipe", "coco_1x"], 2, "needs --data"),
        (["--recipe", "none"], 1, "recipe='none'"),
        (["--detector", "yolo"], 2, "--detector must be one of"),
    ],
)
def test_bad_arguments_are_refused(arguments, code, message, tmp_path):
    output = detect("train", "--directory", tmp_path, *arguments, code=code)
    assert message in " ".join(output.replace("│", " ").split())
