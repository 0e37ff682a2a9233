"""The picture of an evaluation: images, annotations and detections in one place."""

import numpy as np
import pytest
from needed import needed

import keras_sa.visualization
from keras_sa.data import coco
from keras_sa.scripts.detect.evaluation_picture import annotated_and_found

needed("matplotlib")
needed("pycocotools")


@pytest.fixture
def drawn(monkeypatch):
    """What the figure is made of, instead of the figure."""
    monkeypatch.setattr(
        keras_sa.visualization, "annotated_and_found_figure", lambda *shown: shown
    )


def perfect(data):
    """A detector that finds what is annotated, scored 0.9, and one more at 0.2."""
    answers = iter([targets for _, targets in data.epoch()])

    def predict(images):
        targets = {name: value[0].numpy() for name, value in next(answers).items()}
        boxes = np.concatenate([targets["boxes"], [[0, 0, 5, 5]]]).astype("float32")
        masks = np.concatenate([targets["masks"], np.zeros((1, 56, 56))])
        return {
            "boxes": boxes[None],
            "classes": np.append(targets["classes"], 0)[None],
            "scores": np.append(np.full(len(boxes) - 1, 0.9), 0.2)[None],
            "masks": masks[None],
            "count": np.array([len(boxes)]),
        }

    return predict


@pytest.mark.parametrize("batch_size", [1, 3])
def test_both_sides_are_in_pixels_of_the_image_that_is_drawn(
    tmp_path, drawn, batch_size
):
    shapes = coco.write_shapes(tmp_path, coco.Shapes(2, 6, 64))
    load = {"sides": (96, 160), "mask_size": 56}
    single = coco.load(f"coco:{shapes}", "validation", batch_size=1, **load)
    data = coco.load(f"coco:{shapes}", "validation", batch_size=batch_size, **load)
    images, annotated, found, names = annotated_and_found(perfect(single), data, 4, 0.5)
    assert len(images) == len(annotated) == len(found) == 4
    assert list(names) == ["disc", "square", "triangle"]
    for image, truth, answer in zip(images, annotated, found, strict=True):
        height, width = image.shape[:2]
        # Not padded to a multiple of 32, and not normalised.
        assert min(height, width) == 96
        assert image.dtype == "uint8" and image.max() > 60
        np.testing.assert_allclose(answer["boxes"], truth["boxes"], atol=1e-3)
        assert answer["classes"].tolist() == truth["classes"].tolist()
        # What scores less than the threshold is not there.
        assert len(answer["scores"]) == len(truth["boxes"])
        for mask, box, drawn_mask in zip(
            truth["masks"], truth["boxes"], answer["masks"], strict=True
        ):
            assert drawn_mask.shape == (height, width)
            share = (box[2] - box[0]) * (box[3] - box[1]) / (height * width)
            # The same part of the picture is covered, in whatever pixels.
            assert mask.mean() == pytest.approx(
                drawn_mask.mean(), abs=0.1 * share + 0.01
            )
