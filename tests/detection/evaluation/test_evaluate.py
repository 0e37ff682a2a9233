"""Detections are scored as COCO scores them, in the images as they were."""

import coco_folder
import numpy as np
import pytest
from camera_photos import ORIENTATIONS
from camera_photos import camera_photo
from needed import needed
from needed import needed_elsewhere

from keras_sa.data import coco
from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.rle import rle_decode
from keras_sa.detection.evaluation.coco_callback import COCOMetrics
from keras_sa.detection.evaluation.coco_evaluation import detect
from keras_sa.detection.evaluation.coco_evaluation import evaluate
from keras_sa.detection.evaluation.coco_metrics import BACKENDS
from keras_sa.detection.evaluation.coco_metrics import coco_metrics
from keras_sa.detection.evaluation.coco_results import coco_results
from keras_sa.detection.evaluation.coco_results import paste_mask
from keras_sa.detection.evaluation.image_prediction import ImagePrediction

needed("pycocotools")
CELLS = 28


def content():
    """Rectangles only: their masks have no rounding."""
    content = coco_folder.content()
    content["annotations"][0]["segmentation"] = coco_folder.rectangle(10, 10, 40, 20)
    content["annotations"][0]["area"] = 800.0
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return coco_folder.write(tmp_path_factory.mktemp("coco"), content())


@pytest.fixture(scope="module")
def data(folder):
    return load(folder)


def load(folder, **options):
    options = {"mask_size": CELLS, "training": False, **options}
    return coco.load(f"coco:{folder}", sides=(64, 96), batch_size=3, **options)


class Oracle:
    """Predicts what the data says, and what `change` makes of it."""

    def __init__(self, data, change=lambda image, found: found):
        self.found = []
        for _, targets in data.epoch():
            targets = {name: value.numpy() for name, value in targets.items()}
            for row in range(len(targets["boxes"])):
                objects = targets["classes"][row] >= 0
                objects &= ~targets["ignored"][row]
                found = {
                    "boxes": targets["boxes"][row][objects],
                    "classes": targets["classes"][row][objects],
                    "scores": np.linspace(0.9, 0.8, objects.sum()),
                    "masks": np.ones((objects.sum(), CELLS, CELLS), "float32"),
                }
                self.found.append(change(len(self.found), found))
        self.position = 0

    def __call__(self, images):
        rows = self.found[self.position : self.position + len(images)]
        self.position = (self.position + len(images)) % len(self.found)
        count = [len(row["scores"]) for row in rows]
        most = max(5, *count)

        def padded(name, fill):
            return np.stack(
                [
                    np.pad(
                        row[name],
                        [(0, most - len(row[name]))] + [(0, 0)] * (row[name].ndim - 1),
                        constant_values=fill,
                    )
                    for row in rows
                ]
            )

        return {
            "boxes": padded("boxes", 0),
            "classes": padded("classes", -1),
            "scores": padded("scores", 0),
            "masks": padded("masks", 0),
            "count": np.array(count),
        }


def add(found, box, label, score):
    return {
        "boxes": np.concatenate([found["boxes"], [box]]),
        "classes": np.append(found["classes"], label),
        "scores": np.append(found["scores"], score),
        "masks": np.concatenate([found["masks"], np.ones((1, CELLS, CELLS))]),
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_perfect_detections_score_one(data, backend, capfd):
    needed_elsewhere(backend)
    found = evaluate(Oracle(data), data, backend=backend)
    for kind in ("box", "mask"):
        assert found[f"{kind}_ap"] == found[f"{kind}_ap50"] == pytest.approx(1)
        # All objects are below 32 x 32 pixels.
        assert found[f"{kind}_ap_small"] == pytest.approx(1)
        assert found[f"{kind}_ap_medium"] == found[f"{kind}_ap_large"] == -1
    assert len(found) == 12
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_shifted_detections_score_what_they_must(data, backend):
    """A fifth of the width off, intersection over union is .8 / 1.2 = .667.

    That passes the thresholds .50, .55, .60 and .65 of ten.
    """
    needed_elsewhere(backend)

    def shifted(image, found):
        boxes = found["boxes"].copy()
        width = boxes[:, 2:3] - boxes[:, 0:1]
        # To the left, where all objects have room.
        boxes[:, [0, 2]] -= 0.2 * width
        return {**found, "boxes": boxes}

    found = evaluate(Oracle(data, shifted), data, backend=backend, kinds=("box",))
    assert found["box_ap"] == pytest.approx(0.4)
    assert found["box_ap50"] == pytest.approx(1) and found["box_ap75"] == 0


def test_misses_and_false_alarms(data):
    """By hand: precision is read at 101 recalls, then averaged over classes."""

    def without_the_high_image(image, found):
        keep = slice(0, 0 if image == 1 else None)
        return {name: value[keep] for name, value in found.items()}

    found = evaluate(Oracle(data, without_the_high_image), data)
    # One of two boxes: recalls 0 to 0.50; the wedge is found.
    assert found["box_ap"] == pytest.approx((51 / 101 + 1) / 2)
    assert found["mask_ap"] == pytest.approx((51 / 101 + 1) / 2)

    def alarm(image, found):
        # On the image without objects, and surer than all others.
        return add(found, [10, 10, 30, 30], 0, 0.99) if image == 2 else found

    found = evaluate(Oracle(data, alarm), data, kinds=("box",))
    # The wedge comes second: its precision is a half. The boxes are perfect.
    assert found["box_ap"] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_found_scores_zero_for_boxes_and_for_masks(data, backend):
    """As early in a training: a callback that waits for `val_mask_ap` must get it."""
    needed_elsewhere(backend)
    nothing = Oracle(data, lambda _, found: {n: v[:0] for n, v in found.items()})
    found = evaluate(nothing, data, backend=backend)
    assert len(found) == 12
    for kind in ("box", "mask"):
        assert found[f"{kind}_ap"] == found[f"{kind}_ap_small"] == 0
        # There is no such object that could have been missed.
        assert found[f"{kind}_ap_medium"] == found[f"{kind}_ap_large"] == -1


def test_detections_in_a_crowd_do_not_count(data):
    def in_crowd(label):
        box = np.array([3, 6, 8, 12]) * 64 / 20
        return lambda image, found: (
            add(found, box, label, 0.99) if image == 3 else found
        )

    assert evaluate(Oracle(data, in_crowd(1)), data)["box_ap"] == pytest.approx(1)
    # The crowd is of boxes, not of wedges.
    assert evaluate(Oracle(data, in_crowd(0)), data)["box_ap"] == pytest.approx(0.75)


def test_results_are_in_the_files_pixels(data):
    results = detect(Oracle(data), data)
    truth = {a["id"]: a for a in content()["annotations"] if not a["iscrowd"]}
    assert len(results) == len(truth)
    for result, annotation in zip(results, truth.values(), strict=True):
        assert result["image_id"] == annotation["image_id"]
        assert result["category_id"] == annotation["category_id"]
        np.testing.assert_allclose(result["bbox"], annotation["bbox"], atol=1e-4)
        mask = rle_decode(result["segmentation"])
        x, y, width, height = annotation["bbox"]
        expected = np.zeros(mask.shape, "uint8")
        expected[y : y + height, x : x + width] = 1
        np.testing.assert_array_equal(mask, expected)
    sizes = {tuple(result["segmentation"]["size"]) for result in results}
    assert sizes == {(40, 80), (64, 32)}


@pytest.mark.parametrize("batch_size", [2, 4])
def test_the_batches_of_the_data_change_nothing(batch_size, folder):
    def of_all_pixels(images):
        """As networks with statistics of the whole map: padding counts."""
        count, height, width, _ = images.shape
        scores = 1 / (1 + np.exp(-np.mean(images, axis=(1, 2, 3))))
        boxes = np.tile([0.1 * width, 0.1 * height, 0.9 * width, height], (count, 1))
        found = {"boxes": boxes, "scores": scores, "classes": np.zeros(count, int)}
        rows = {name: value[:, np.newaxis] for name, value in found.items()}
        return {**rows, "count": np.ones(count, int)}

    options = {"training": False, "sides": (64, 96)}
    alone, together = (
        coco.load(f"coco:{folder}", batch_size=rows, **options)
        for rows in (1, batch_size)
    )
    found = detect(of_all_pixels, together)
    assert len(found) == 4 and found == detect(of_all_pixels, alone)


def test_what_is_no_image_is_told_without_the_graph(tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"no image")
    find = ImagePrediction(lambda images: {}, {})
    with pytest.raises(ValueError, match="text.jpg") as error:
        find(tmp_path / "text.jpg")
    assert "{{" not in str(error.value) and "[Op:" not in str(error.value)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_answers_are_in_the_picture_that_a_person_sees(orientation, tmp_path):
    pixels = np.full((40, 60, 3), 20, "uint8")
    pixels[4:20, 30:54] = 240
    (tmp_path / "photo.jpg").write_bytes(camera_photo(pixels, orientation))

    def bright(images):
        rows, columns = np.nonzero(images[0, ..., 0] > 0.5)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        found = {"boxes": [box], "scores": [0.9], "classes": [0], "count": 1}
        return {name: np.array([value]) for name, value in found.items()}

    settings = {"sides": (40, 60), "mean": (0,) * 3, "std": (1,) * 3}
    find = ImagePrediction(bright, {**settings, "class_names": ["lamp"]})
    image, (found,) = find(tmp_path / "photo.jpg")
    # The pixels between bright and dark ones.
    np.testing.assert_allclose(found["bbox"], [30, 4, 24, 16], atol=1)
    np.testing.assert_allclose(image, pixels, atol=20)


def test_a_file_that_cannot_be_opened_is_told_likewise(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=r"Can't read '.*link\.png': No such file"):
        ImagePrediction(lambda images: {}, {})(tmp_path / "link.png")


def test_boxes_in_the_padding_are_cut_or_left_out():
    found = {
        "boxes": np.array([[80.0, 40, 120, 60], [100, 10, 120, 20], [0, 0, 0, 9]]),
        "classes": np.array([0, 0, 0]),
        "scores": np.array([0.9, 0.8, 0.7]),
        "count": np.int32(3),
    }
    (result,) = coco_results(found, Image(1, "x", 40, 80), (48, 96), (5,))
    np.testing.assert_allclose(
        result["bbox"], [80 / 1.2, 40 / 1.2, 80 - 80 / 1.2, 40 - 40 / 1.2]
    )


def test_masks_are_pasted_between_the_cells_centres():
    mask = np.zeros((28, 28))
    mask[:, :14] = 1
    pasted = paste_mask(mask, np.array([10.0, 4, 66, 32]), 40, 80)
    # 56 pixels for 28 cells: the left half belongs to the object.
    expected = np.zeros((40, 80))
    expected[4:32, 10:38] = 1
    np.testing.assert_array_equal(pasted, expected)
    # A pixel as likely inside as outside is inside.
    even = np.full((2, 2), 0.5)
    assert paste_mask(even, np.array([0.0, 0, 8, 8]), 8, 8).sum() == 64
    # Boxes between pixels and boxes of less than a pixel.
    assert (
        paste_mask(np.ones((28, 28)), np.array([1.4, 1.6, 3.4, 3.6]), 8, 8).sum() == 4
    )
    assert paste_mask(mask, np.array([2.6, 2.0, 2.9, 9.0]), 8, 8).sum() == 0


def test_unreadable_images_are_left_out(tmp_path):
    coco_folder.write(tmp_path, content())
    data = load(tmp_path, skip_bad=True)
    oracle = Oracle(data)
    (tmp_path / "train" / "high.png").write_bytes(b"no image")
    assert evaluate(oracle, data)["box_ap"] == pytest.approx(1)
    assert data.reader.unreadable == {1}


def test_the_callback_adds_to_the_logs(data):
    callback = COCOMetrics(data, every=2)
    callback.set_model(Oracle(data))
    logs = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    assert logs == {"loss": 1.0}
    callback.on_epoch_end(1, logs)
    assert logs["val_box_ap"] == logs["val_mask_ap75"] == pytest.approx(1)
    with pytest.raises(ValueError, match="every=0"):
        COCOMetrics(data, every=0)


def test_wrong_questions_are_refused(folder, data):
    with pytest.raises(ValueError, match="training=False"):
        detect(Oracle(data), load(folder, training=True))
    with pytest.raises(ValueError, match="kinds="):
        evaluate(Oracle(data), load(folder, mask_size=0), kinds=("mask",))
    oracle = Oracle(data)

    def boxes_alone(images):
        return {n: v for n, v in oracle(images).items() if n != "masks"}

    assert len(evaluate(boxes_alone, data)) == 6
    with pytest.raises(ValueError, match=r"no masks, but \['boxes', 'classes'"):
        evaluate(boxes_alone, data, kinds=("box", "mask"))
    with pytest.raises(ValueError, match="backend='other'"):
        coco_metrics({}, [], backend="other")


def test_a_wrong_backend_is_refused_before_the_work(data):
    def detector(images):
        raise AssertionError("The images were looked at.")

    with pytest.raises(ValueError, match="backend='other'"):
        evaluate(detector, data, backend="other")
    with pytest.raises(ValueError, match="backend='other'"):
        COCOMetrics(data, backend="other")
