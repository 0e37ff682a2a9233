"""Reads COCO's annotation files, which may come from anywhere."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from pathlib import PurePosixPath

from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.annotations import gather
from keras_sa.data.coco.problems import Problems
from keras_sa.data.coco.segmentations import check_segmentation

LISTS = ("images", "annotations", "categories")
# Boxes may leave the image by so much, in pixels: they were rounded.
TOLERANCE = 1.0
# Height times width; phones make 200 million pixels. An image that can't be read is
# replaced by a black one of its declared size, which must not fill the memory.
MAX_PIXELS = 200_000_000


class Unusable(Exception):
    """An entry can't be used: its arguments are the kind and the reason."""


def read_annotations(
    file: str | Path, folder: str | Path, problems: Problems, masks: bool = False
) -> Annotations:
    """Reads a file of COCO's format ("instances").

    Entries that can't be used are added to `problems`, and left out if these say so.
    An image that is left out takes its annotations with it. Images may have up to 200
    million pixels.

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
            they are wanted, or an entry can't be used and may not be left out.
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
        noted(problems, "categories", number, entry, _add_category, categories)
    categories = dict(sorted(categories.items()))
    classes = {id: number for number, id in enumerate(categories)}
    images: dict[int, Image] = {}
    left_out: set[int] = set()
    for number, entry in enumerate(content["images"]):
        if not noted(problems, "images", number, entry, _add_image, images, folder):
            left_out.add(_id_of(entry))
    objects = {id: [] for id in images}
    for number, entry in enumerate(content["annotations"]):
        if isinstance(entry, dict) and _hashable(entry.get("image_id")) in left_out:
            continue
        noted(
            problems,
            "annotations",
            number,
            entry,
            _add_object,
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
    return gather(images.values(), objects.values(), categories)


def noted(
    problems: Problems, name: str, number: int, entry, add: Callable, *arguments
) -> bool:
    """Calls `add(entry, *arguments)` and notes if the entry is unusable."""
    try:
        if not isinstance(entry, dict):
            raise Unusable("malformed entry", f"{_short(entry)} is not an object")
        add(entry, *arguments)
    except Unusable as unusable:
        id = _id_of(entry)
        named = f"{name}[{number}]" + ("" if id is None else f" (id {_short(id)})")
        problems.add(unusable.args[0], named, unusable.args[1])
        return False
    return True


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


def _add_category(entry, categories):
    id, name = _whole(entry, "id"), entry.get("name")
    if not isinstance(name, str):
        raise Unusable("malformed entry", f"name={_short(name)} is not a string")
    if id in categories:
        raise Unusable("duplicate id", f"id={id} is there already")
    categories[id] = name


def _add_image(entry, images, folder):
    id, name = _whole(entry, "id"), entry.get("file_name")
    height, width = _whole(entry, "height"), _whole(entry, "width")
    if not isinstance(name, str) or min(height, width) < 1:
        raise Unusable(
            "malformed entry",
            f"file_name={_short(name)}, height={height}, width={width}",
        )
    if height * width > MAX_PIXELS:
        raise Unusable(
            "image too large",
            f"height={height}, width={width}: more than {MAX_PIXELS} pixels",
        )
    if id in images:
        raise Unusable("duplicate id", f"id={id} is there already")
    path = PurePosixPath(name)
    # The file may come from anywhere: it must not name others than its images.
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise Unusable("file name outside of the folder", f"file_name={_short(name)}")
    if not (folder / path).is_file():
        raise Unusable("missing file", str(folder / path))
    images[id] = Image(id, name, height, width)


def _add_object(entry, objects, images, classes, masks):
    image = images.get(_hashable(entry.get("image_id")))
    if image is None:
        raise Unusable("unknown image", f"image_id={_short(entry.get('image_id'))}")
    objects[image.id].append(checked_object(entry, image, classes, masks))


def checked_object(
    entry: dict, image: Image, classes: dict[int, int], masks: bool = False
) -> tuple:
    """What `gather` takes, of an entry of `"annotations"`.

    Args:
        entry: The entry.
        image: Its image.
        classes: The class of every category id.
        masks: Whether the segmentation is read.

    Raises:
        Unusable: If it can't be used.
    """
    number = classes.get(_hashable(entry.get("category_id")))
    if number is None:
        raise Unusable(
            "unknown category", f"category_id={_short(entry.get('category_id'))}"
        )
    box = _box(entry, image)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise Unusable("malformed entry", f"iscrowd={_short(crowd)}")
    area = entry.get("area", (box[2] - box[0]) * (box[3] - box[1]))
    if not _is_number(area) or area < 0:
        raise Unusable("malformed entry", f"area={_short(area)}")
    segmentation = entry.get("segmentation") if masks else None
    if masks:
        wrong = check_segmentation(segmentation, image.height, image.width)
        if wrong:
            raise Unusable("bad segmentation", wrong)
    return box, number, bool(crowd), area, segmentation


def _box(entry, image):
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise Unusable("malformed entry", f"bbox={_short(box)} is not four numbers")
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise Unusable("box without an area", f"bbox={box}")
    corners = (x, y, x + width, y + height)
    limits = (image.width, image.height) * 2
    if min(x, y) < -TOLERANCE or any(
        corner > limit + TOLERANCE
        for corner, limit in zip(corners, limits, strict=True)
    ):
        raise Unusable(
            "box outside of the image",
            f"bbox={box}, the image is {image.width} wide and {image.height} high",
        )
    inside = tuple(
        min(max(corner, 0), limit)
        for corner, limit in zip(corners, limits, strict=True)
    )
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise Unusable("box without an area", f"bbox={box} at the border of the image")
    return inside


def _whole(entry, name):
    value = entry.get(name)
    if type(value) is not int or abs(value) >= 2**53:
        raise Unusable("malformed entry", f"{name}={_short(value)} is not an integer")
    return value


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e9 and math.isfinite(value)


def _id_of(entry):
    return _hashable(entry.get("id")) if isinstance(entry, dict) else None


def _hashable(value):
    return value if type(value) in (int, str) else None


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
