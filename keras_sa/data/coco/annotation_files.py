"""Reads COCO's annotation files, which may come from anywhere."""

import json
import math
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath

from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.annotations import gather
from keras_sa.data.coco.problems import Problems
from keras_sa.data.coco.segmentations import usable_segmentation

LISTS = ("images", "annotations", "categories")
# Boxes may leave the image by so much, in pixels: they were rounded.
TOLERANCE = 1.0
# Where no box of a file ends behind this, they are not in pixels.
RELATIVE = 1.01
# Height times width; phones make 200 million pixels. An image that can't be read is
# replaced by a black one of its declared size, which must not fill the memory.
MAX_PIXELS = 200_000_000


class Unusable(Exception):
    """An entry, or a part of it, can't be used: the arguments are kind and reason."""


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
        noted(problems, "categories", number, entry, _add_category, categories)
    categories = dict(sorted(categories.items()))
    classes = {id: number for number, id in enumerate(categories)}
    images: dict[int, Image] = {}
    left_out: set[int] = set()
    for number, entry in enumerate(content["images"]):
        if not noted(problems, "images", number, entry, _add_image, images, folder):
            left_out.add(_id_of(entry))
    objects: dict[int, list] = {id: [] for id in images}
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
    found = gather(images.values(), objects.values(), categories)
    if len(found.objects) and found.objects.boxes.max() <= RELATIVE:
        raise ValueError(
            f"{str(file)!r} has boxes in 0..1, but COCO's are x, y, width and height "
            "in pixels: multiply them by the images' widths and heights. Received: "
            f"boxes that end at {found.objects.boxes.max():.4g} at most"
        )
    return found


def noted(
    problems: Problems, name: str, number: int, entry, add: Callable, *arguments
) -> bool:
    """Calls `add(entry, *arguments)`, and notes what it raises or returns.

    Args:
        problems: Where to note it.
        name: Of the list.
        number: Of the entry in it.
        entry: The entry.
        add: Raises `Unusable`, or returns what is unusable of an entry that was added.
        *arguments: More of its arguments.

    Returns:
        Whether the entry was added.
    """
    added = True
    flaws: Sequence[Unusable] = ()
    try:
        if not isinstance(entry, dict):
            raise Unusable("malformed entry", f"{_short(entry)} is not an object")
        flaws = add(entry, *arguments) or ()
    except Unusable as unusable:
        added, flaws = False, (unusable,)
    id = _id_of(entry)
    named = f"{name}[{number}]" + ("" if id is None else f" (id {_short(id)})")
    for flaw in flaws:
        problems.add(flaw.args[0], named, flaw.args[1])
    return added


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
    row, flaws = checked_object(entry, image, classes, masks)
    objects[image.id].append(row)
    return flaws


def checked_object(
    entry: dict, image: Image, classes: dict[int, int], masks: bool = False
) -> tuple[tuple, list[Unusable]]:
    """What `gather` takes, of an entry of `"annotations"`.

    Args:
        entry: The entry.
        image: Its image.
        classes: The class of every category id.
        masks: Whether the segmentation is read.

    Returns:
        The row, and what of the entry can't be used. An object whose class or mask is
        unknown is a crowd, and so is all of the image where its box is no box.

    Raises:
        Unusable: If nothing of it is in the image.
    """
    flaws = []
    number = classes.get(_hashable(entry.get("category_id")))
    if number is None:
        category = _short(entry.get("category_id"))
        flaws.append(Unusable("unknown category", f"category_id={category}"))
    known_box = _is_box(entry.get("bbox"))
    if known_box:
        box, outside = _clipped(entry["bbox"], image)
    else:
        box, outside = (0, 0, image.width, image.height), None
        reason = f"bbox={_short(entry.get('bbox'))} is not four numbers"
        flaws.append(Unusable("malformed entry", reason))
    crowd = entry.get("iscrowd")
    if crowd not in (0, 1, None):
        flaws.append(Unusable("malformed entry", f"iscrowd={_short(crowd)}"))
    crowd = crowd not in (0, None) or number is None or not known_box
    if outside:
        flaws.append(Unusable("box outside of the image", outside))
    area = entry.get("area")
    if area is not None and not (_is_number(area) and area >= 0):
        flaws.append(Unusable("malformed entry", f"area={_short(area)}"))
        area = None
    if area is None:
        area = (box[2] - box[0]) * (box[3] - box[1])
    segmentation = None
    if masks:
        segmentation, wrong = usable_segmentation(
            entry.get("segmentation"), image.height, image.width
        )
        if wrong:
            flaws.append(Unusable("bad segmentation", wrong))
        if segmentation is None:
            left, top, right, bottom = box
            segmentation = [[left, top, right, top, right, bottom, left, bottom]]
            crowd = True
    return (box, number or 0, crowd, area, segmentation), flaws


def _is_box(box):
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _clipped(box, image):
    """The corners within the image, and what is said if it was left by far."""
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise Unusable("box without an area", f"bbox={box}")
    corners = (x, y, x + width, y + height)
    limits = (image.width, image.height) * 2
    inside = tuple(
        min(max(corner, 0), limit)
        for corner, limit in zip(corners, limits, strict=True)
    )
    beyond = max(abs(a - b) for a, b in zip(corners, inside, strict=True))
    outside = (
        f"bbox={box}, the image is {image.width} wide and {image.height} high"
        if beyond > TOLERANCE
        else None
    )
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        if outside:
            raise Unusable("box outside of the image", outside)
        raise Unusable("box without an area", f"bbox={box} at the border of the image")
    return inside, outside


def _whole(entry, name):
    value = _hashable(entry.get(name))
    if type(value) is not int:
        shown = _short(entry.get(name))
        raise Unusable("malformed entry", f"{name}={shown} is not an integer")
    if abs(value) >= 2**63:
        raise Unusable("malformed entry", f"{name}={_short(value)} exceeds 64 bits")
    return value


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e9 and math.isfinite(value)


def _id_of(entry):
    return _hashable(entry.get("id")) if isinstance(entry, dict) else None


def _hashable(value):
    """An id, which some programs write as 1.0, or `None`."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) in (int, str) else None


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
