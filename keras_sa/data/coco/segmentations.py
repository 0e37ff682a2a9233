"""COCO's segmentations as masks."""

import numpy as np

from keras_sa.data.coco.rle import rle_decode
from keras_sa.data.coco.rle import runs_of_string
from keras_sa.utils.extras import require_extra

# Polygons are drawn so many times finer than they are needed, then averaged.
FINER = 2


def usable_segmentation(
    segmentation, height: int, width: int
) -> tuple[list | dict | None, str | None]:
    """What can be used of a segmentation that may come from anywhere.

    Args:
        segmentation: The value of an annotation's `"segmentation"`.
        height: Of the image.
        width: Of the image.

    Returns:
        The polygons that do not leave the image by more than its size, or an RLE of
        the image's size, or `None`; and what is wrong with the rest, or `None`.
    """
    if isinstance(segmentation, dict):
        wrong = _wrong_rle(segmentation, height, width)
        # The size may be of floats.
        return None if wrong else {**segmentation, "size": [height, width]}, wrong
    if not isinstance(segmentation, list) or not segmentation:
        return None, f"{segmentation!r:.40} is neither polygons nor an RLE"
    wrong = [_wrong_polygon(polygon, height, width) for polygon in segmentation]
    right = [p for p, flaw in zip(segmentation, wrong, strict=True) if flaw is None]
    return right or None, next(filter(None, wrong), None)


def _wrong_rle(rle, height, width):
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        return f"the size of the RLE is {size!r:.40}, the image's {height, width}"
    if isinstance(counts, str):
        try:
            counts = runs_of_string(counts)
        except ValueError as error:
            return str(error)
    if not isinstance(counts, list) or not all(
        type(count) in (int, float) and count >= 0 and count % 1 == 0
        for count in counts
    ):
        return "the RLE is neither a string nor a list of whole numbers"
    if sum(counts) != height * width:
        return f"the RLE has {sum(counts)} pixels, the image {height * width}"
    return None


def _wrong_polygon(polygon, height, width):
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return "a polygon must be a list of x and y of at least three corners"
    for numbers, limit in ((polygon[::2], width), (polygon[1::2], height)):
        # Far corners would take time and memory without an end.
        if not all(
            type(n) in (int, float) and -limit <= n <= 2 * limit for n in numbers
        ):
            return "a polygon has a corner that is no number or far outside"
    return None


def box_mask(
    segmentation: list | dict, box: np.ndarray, height: int, width: int, size: int
) -> np.ndarray:
    """Cuts an object's mask out of the image by its box.

    Args:
        segmentation: A list of polygons or an RLE.
        box: x1, y1, x2, y2 in pixels of the image, with an area.
        height: Of the image.
        width: Of the image.
        size: Cells of the result along both axes.

    Returns:
        float32 `(size, size)`: the part of each cell that the object covers.

    Raises:
        ImportError: If it is a list of polygons and pycocotools is missing.
    """
    if isinstance(segmentation, dict):
        return _cells(full_mask(segmentation, height, width), box, size)
    fine = size * FINER
    corner, extent = np.asarray(box[:2]), np.asarray(box[2:]) - box[:2]
    polygons = [
        # Far outside of its box a corner may be anywhere, but must not take memory.
        ((np.reshape(polygon, (-1, 2)) - corner) / extent * fine)
        .clip(-9 * fine, 10 * fine)
        .ravel()
        .tolist()
        for polygon in segmentation
    ]
    mask = _draw(polygons, fine, fine).astype("float32")
    return mask.reshape(size, FINER, size, FINER).mean(axis=(1, 3))


def full_mask(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """The mask of a segmentation: uint8 `(height, width)`."""
    if isinstance(segmentation, list):
        return _draw(segmentation, height, width)
    return rle_decode(segmentation)


def _draw(polygons, height, width):
    masks = require_extra("pycocotools.mask", "detection")
    return masks.decode(masks.merge(masks.frPyObjects(polygons, height, width)))


def _cells(mask, box, size):
    """Means over cells of equal size, with the exact share of cut pixels."""
    edges = np.linspace(box[:2], box[2:], size + 1)
    rows = np.minimum(edges[:, 1], mask.shape[0])
    columns = np.minimum(edges[:, 0], mask.shape[1])
    # The integral over everything above and to the left is linear between pixels.
    sums = np.pad(mask.astype("float64").cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = _between(_between(sums, rows).T, columns).T
    cell = (box[2] - box[0]) * (box[3] - box[1]) / size**2
    return (np.diff(np.diff(sums, axis=0), axis=1) / cell).astype("float32")


def _between(rows, positions):
    low = np.minimum(positions.astype(int), len(rows) - 2)
    part = (positions - low)[:, np.newaxis]
    return rows[low] * (1 - part) + rows[low + 1] * part
