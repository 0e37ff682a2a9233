"""Detections in COCO's form: in the image as it was, before resizing and padding."""

import numpy as np

from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.annotations import Image
from keras_sa.detection.boxes import have_area
from keras_sa.utils.extras import require_extra

MASK_THRESHOLD = 0.5


def coco_results(
    found: dict[str, np.ndarray],
    image: Image,
    resized: tuple[float, float],
    category_ids: tuple[int, ...],
) -> list[dict]:
    """The detections of one image as COCO's results.

    Args:
        found: What a detector predicts, see `keras_sa.detection`, of one image.
        image: The image.
        resized: Height and width that it had in front of the detector, without
            padding.
        category_ids: The category id of every class.

    Returns:
        Dicts with `image_id`, `category_id`, `bbox` (x, y, width, height), `score`
        and, where there are masks, `segmentation`, an RLE of the image's size.
        Detections that are outside of the image are left out.
    """
    results = []
    boxes = original_boxes(found["boxes"], image, resized)
    for row in np.flatnonzero(have_area(boxes[: int(found["count"])])):
        left, top, right, bottom = boxes[row].tolist()
        result = {
            "image_id": image.id,
            "category_id": category_ids[int(found["classes"][row])],
            "bbox": [left, top, right - left, bottom - top],
            "score": float(found["scores"][row]),
        }
        if "masks" in found:
            mask = paste_mask(
                found["masks"][row], boxes[row], image.height, image.width
            )
            result["segmentation"] = _compressed(mask)
        results.append(result)
    return results


def original_boxes(
    boxes: np.ndarray, image: Image, resized: tuple[float, float]
) -> np.ndarray:
    """Boxes in pixels of the image before it was resized, clipped to it.

    Args:
        boxes: `(n, 4)`: x1, y1, x2, y2 in pixels of the resized image.
        image: The image.
        resized: See `coco_results`.

    Returns:
        float64 `(n, 4)`.
    """
    size = np.array([image.width, image.height] * 2, "float64")
    factor = size / np.array([resized[1], resized[0]] * 2, "float64")
    return np.clip(np.asarray(boxes, "float64") * factor, 0, size)


def paste_mask(
    mask: np.ndarray,
    box: np.ndarray,
    height: int,
    width: int,
    threshold: float = MASK_THRESHOLD,
) -> np.ndarray:
    """The mask of a box as a mask of the image.

    Args:
        mask: `(m, m)`: the probability of each cell of the box.
        box: x1, y1, x2, y2 in pixels of the image, inside it.
        height: Of the image.
        width: Of the image.
        threshold: The probability from which on a pixel belongs to the object. It is
            bilinear between the cells' centres.

    Returns:
        uint8 `(height, width)`.
    """
    result = np.zeros((height, width), "uint8")
    rows, row_weights = _samples(box[1], box[3], len(mask))
    columns, column_weights = _samples(box[0], box[2], len(mask))
    if len(rows) and len(columns):
        values = row_weights @ mask @ column_weights.T
        result[np.ix_(rows, columns)] = values >= threshold
    return result


def _samples(start, stop, cells):
    """The pixels whose centres are in the box, and the cells' weights for each."""
    # With the box's borders on pixel centres, one of the two is inside.
    pixels = np.arange(int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5)))
    place = (pixels + 0.5 - start) / (stop - start) * cells - 0.5
    place = np.clip(place, 0, cells - 1)
    return pixels, np.maximum(0, 1 - np.abs(place[:, np.newaxis] - np.arange(cells)))


def _compressed(mask):
    masks = require_extra("pycocotools.mask", "detection")
    rle = masks.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def coco_ground_truth(annotations: Annotations, indices: list[int]) -> dict:
    """The objects of images in COCO's form, as the content of an annotation file.

    Args:
        annotations: The data set's.
        indices: Which images.

    Returns:
        What JSON can hold. Ids of annotations are new and begin at 1, because COCO's
        evaluation takes 0 for "no object".
    """
    images: list[dict] = []
    entries: list[dict] = []
    for index in indices:
        image, objects = annotations.images[index], annotations.objects_of(index)
        images.append(
            {
                "id": image.id,
                "file_name": image.name,
                "height": image.height,
                "width": image.width,
            }
        )
        for row in range(len(objects)):
            left, top, right, bottom = map(float, objects.boxes[row])
            entry = {
                "id": len(entries) + 1,
                "image_id": image.id,
                "category_id": annotations.category_ids[objects.classes[row]],
                "bbox": [left, top, right - left, bottom - top],
                "area": float(objects.areas[row]),
                "iscrowd": int(objects.crowds[row]),
            }
            if objects.segmentations is not None:
                entry["segmentation"] = objects.segmentations[row]
            entries.append(entry)
    categories = [
        {"id": id, "name": name}
        for id, name in zip(
            annotations.category_ids, annotations.class_names, strict=True
        )
    ]
    return {"images": images, "annotations": entries, "categories": categories}
