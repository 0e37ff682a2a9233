"""The synthetic shapes are a COCO data set like any other."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from needed import needed

from keras_sa.data.coco import Shapes
from keras_sa.data.coco import write_shapes
from keras_sa.data.coco.rle import rle_decode
from keras_sa.data.coco.rle import rle_encode

SETTINGS = Shapes(images=12, validation=4, size=64, seed=3)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("shapes"), SETTINGS)


def read(folder, split="train"):
    return json.loads((folder / "annotations" / f"instances_{split}.json").read_text())


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.*")
    }


def test_equal_seeds_give_equal_files(shapes, tmp_path):
    assert digests(write_shapes(tmp_path / "again", SETTINGS)) == digests(shapes)
    other = write_shapes(tmp_path / "other", Shapes(12, 4, 64, seed=4))
    assert digests(other) != digests(shapes)


def test_nothing_is_overwritten(shapes):
    before = digests(shapes)
    assert write_shapes(shapes, SETTINGS) == shapes
    with pytest.raises(FileExistsError, match="seed=4"):
        write_shapes(shapes, Shapes(12, 4, 64, seed=4))
    assert digests(shapes) == before


@pytest.mark.parametrize("split, count", [("train", 12), ("val", 4)])
def test_pycocotools_reads_them(shapes, split, count):
    coco = needed("pycocotools.coco")
    path = shapes / "annotations" / f"instances_{split}.json"
    read = coco.COCO(str(path))
    assert [c["name"] for c in read.loadCats(read.getCatIds())] == [
        "disc",
        "square",
        "triangle",
    ]
    assert len(read.getImgIds()) == count
    annotations = read.loadAnns(read.getAnnIds())
    assert min(a["id"] for a in annotations) == 1
    assert len({a["id"] for a in annotations}) == len(annotations)
    assert [a["iscrowd"] for a in annotations].count(1) == 1
    assert len({a["image_id"] for a in annotations}) == count - 1
    kinds = {type(a["segmentation"]) for a in annotations}
    assert kinds == {list, dict}
    for annotation in annotations:
        mask = read.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        # Polygons' outlines are drawn to the nearest pixel.
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose([x, y, x + width, y + height], extent, atol=1.01)
        assert abs(int(mask.sum()) - annotation["area"]) < 0.1 * annotation["area"] + 6


def test_pictures_show_what_is_annotated(shapes):
    """Within an object the colour differs from just outside of it."""
    content = read(shapes)
    files = {image["id"]: image for image in content["images"]}
    contrasts = []
    for annotation in content["annotations"]:
        if not isinstance(annotation["segmentation"], dict):
            continue
        image = files[annotation["image_id"]]
        path = shapes / "train" / image["file_name"]
        pixels = tf.io.decode_png(path.read_bytes()).numpy().astype("float")
        assert pixels.shape == (image["height"], image["width"], 3)
        mask = rle_decode(annotation["segmentation"]).astype(bool)
        contrasts.append(np.abs(pixels[mask].mean(0) - pixels[~mask].mean(0)).max())
    assert np.mean(contrasts) > 30


def test_rle_is_its_own_inverse():
    random = np.random.default_rng(0)
    for mask in (random.random((5, 7)) < 0.5, np.ones((2, 3)), np.zeros((2, 3))):
        rle = rle_encode(mask)
        assert rle["size"] == list(mask.shape)
        np.testing.assert_array_equal(rle_decode(rle), mask)
    with pytest.raises(ValueError, match="sum of the runs=5"):
        rle_decode({"size": [2, 3], "counts": [1, 4]})


@pytest.mark.parametrize("wrong", [{"images": 1}, {"size": 8}, {"objects": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Shapes(**wrong)
