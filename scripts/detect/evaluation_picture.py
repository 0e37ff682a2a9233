"""The first images of a data set with what is annotated and what is found."""

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_sa.data.coco import DetectionData


def annotated_and_found(
    model, data: "DetectionData", images: int, threshold: float
) -> "Figure":
    """Draws images as the detector sees them, without the padding.

    Args:
        model: A detector.
        data: Not shuffled, see `keras_sa.detection.evaluate`.
        images: How many, from the first readable one on.
        threshold: The lowest score of what is drawn.
    """
    from keras_sa.detection.evaluation.coco_evaluation import predict_function
    from keras_sa.visualization import annotated_and_found_figure

    predict = predict_function(model)
    readable = (
        (index, image, size)
        for index, (image, size) in enumerate(_images(data))
        if index not in data.reader.unreadable
    )
    pictures, annotated, found = [], [], []
    for index, image, size in islice(readable, images):
        pictures.append(_pixels(image, size, data))
        annotated.append(_annotated(data, index, size))
        found.append(_found(predict, image, size, threshold))
    return annotated_and_found_figure(pictures, annotated, found, data.class_names)


def _images(data):
    """Every image, padded as little as it needs, and its size without the padding."""
    from keras_sa.utils.resize_within import padded_size

    for batch, targets in data.epoch():
        for image, size in zip(
            batch, targets["image_size"].numpy().astype(int), strict=True
        ):
            height, width = padded_size(size)
            yield image[:height, :width], size


def _pixels(image, size, data):
    import numpy as np

    height, width = size
    normalized = image.numpy()[:height, :width]
    pixels = 255 * (normalized * data.std + data.mean)
    return np.clip(np.round(pixels), 0, 255).astype("uint8")


def _annotated(data, index, size):
    import numpy as np

    from keras_sa.data.coco.segmentations import full_mask

    described, objects = (
        data.annotations.images[index],
        data.annotations.objects_of(index),
    )
    shape = (described.height, described.width)
    factor = np.tile(size[::-1] / np.array(shape[::-1]), 2)
    drawn = {
        "boxes": objects.boxes * factor,
        "classes": objects.classes,
        "crowds": objects.crowds,
    }
    if objects.segmentations is not None:
        drawn["masks"] = [full_mask(each, *shape) for each in objects.segmentations]
    return drawn


def _found(predict, image, size, threshold):
    import numpy as np

    from keras_sa.detection.evaluation.coco_results import paste_mask

    predicted = {
        name: np.asarray(value)[0] for name, value in predict(image[None]).items()
    }
    kept = predicted["scores"][: int(predicted["count"])] >= threshold
    rows = np.flatnonzero(kept)
    height, width = size
    boxes = predicted["boxes"][rows].clip(0, [width, height, width, height])
    drawn = {
        "boxes": boxes,
        "classes": predicted["classes"][rows],
        "scores": predicted["scores"][rows],
    }
    if "masks" in predicted:
        masks = predicted["masks"][rows]
        drawn["masks"] = [
            paste_mask(mask, box, height, width)
            for mask, box in zip(masks, boxes, strict=True)
        ]
    return drawn
