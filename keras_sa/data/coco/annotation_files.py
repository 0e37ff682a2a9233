"""Reads COCO's annotation files, which may come from anywhere."""

import json
from pathlib import Path

from keras_sa.data.coco.annotation_entries import add_category
from keras_sa.data.coco.annotation_entries import add_image
from keras_sa.data.coco.annotation_entries import add_object
from keras_sa.data.coco.annotation_entries import hashable
from keras_sa.data.coco.annotation_entries import id_of
from keras_sa.data.coco.annotation_entries import noted
from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.annotations import gather
from keras_sa.data.coco.problems import Problems

LISTS = ("images", "annotations", "categories")
# Where no box of a file ends behind this, they are not in pixels.
RELATIVE = 1.01


def read_annotations(
    file: str | Path, folder: str | Path, problems: Problems, masks: bool = False
) -> Annotations:
    """Reads a file of COCO's format ("instances").

    What can't be used is added to `problems`. If these skip it, boxes are clipped to
    their images, bad polygons left out, and objects of which no more than their place
    is known are crowds, so that they are not trained to be background. An image that is
    left out takes its annotations with it. Images may have up to 200 million pixels.

    Args:
        file: The JSON file.
        folder: Where its images are.
        problems: Where to note what can't be used.
        masks: Whether segmentations are read.

    Returns:
        The annotations. Classes are in the order of the category ids.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is not such a file at all, has no segmentations although
            they are wanted, has boxes in 0..1, or an entry can't be used and may not
            be skipped.
    """
    file, folder = Path(file), Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of images {str(folder)!r}.")
    content = _parse(file)
    if masks and _has_boxes_alone(content["annotations"]):
        raise ValueError(
            f"{str(file)!r} has boxes but no segmentations: load it without masks, for "
            "RetinaNet or Faster R-CNN."
        )
    categories: dict[int, str] = {}
    for number, entry in enumerate(content["categories"]):
        noted(problems, "categories", number, entry, add_category, categories)
    categories = dict(sorted(categories.items()))
    classes = {id: number for number, id in enumerate(categories)}
    images: dict[int, Image] = {}
    left_out: set[int] = set()
    for number, entry in enumerate(content["images"]):
        if not noted(problems, "images", number, entry, add_image, images, folder):
            left_out.add(id_of(entry))
    objects: dict[int, list] = {id: [] for id in images}
    for number, entry in enumerate(content["annotations"]):
        if isinstance(entry, dict) and hashable(entry.get("image_id")) in left_out:
            continue
        noted(
            problems,
            "annotations",
            number,
            entry,
            add_object,
            objects,
            images,
            classes,
            masks,
        )
    problems.settle()
    if not images or not categories:
        raise ValueError(
            f"{str(file)!r} must hold images and categories. Received: "
            f"{len(images)} images and {len(categories)} categories that can be used"
        )
    found = gather(images.values(), objects.values(), categories)
    if len(found.objects) and found.objects.boxes.max() <= RELATIVE:
        raise ValueError(
            f"{str(file)!r} has boxes in 0..1, but COCO's are x, y, width and height "
            "in pixels: multiply them by the images' widths and heights. Received: "
            f"boxes that end at {found.objects.boxes.max():.4g} at most"
        )
    return found


def _parse(file):
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(file)!r} is not a JSON file: {error}") from error
    missing = [
        name
        for name in LISTS
        if not isinstance(content, dict) or not isinstance(content.get(name), list)
    ]
    if missing:
        raise ValueError(
            f"{str(file)!r} is not an annotation file of COCO's format: it must be an "
            f"object with the lists {list(LISTS)}. Missing: {missing}"
        )
    return content


def _has_boxes_alone(entries):
    return bool(entries) and not any(
        isinstance(entry, dict) and entry.get("segmentation") for entry in entries
    )
