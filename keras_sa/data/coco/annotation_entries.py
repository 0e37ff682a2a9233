"""The entries of COCO's annotation files, which may hold anything."""

import math
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath
from typing import Any

from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.problems import Problems
from keras_sa.data.coco.segmentations import usable_segmentation

# Boxes may leave the image by so much, in pixels: they were rounded.
TOLERANCE = 1.0
# Height times width; phones make 200 million pixels. An image that can't be read is
# replaced by a black one of its declared size, which must not fill the memory.
MAX_PIXELS = 200_000_000


class Unusable(Exception):
    """An entry, or a part of it, can't be used: the arguments are kind and reason."""


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
    id = id_of(entry)
    named = f"{name}[{number}]" + ("" if id is None else f" (id {_short(id)})")
    for flaw in flaws:
        problems.add(flaw.args[0], named, flaw.args[1])
    return added


def add_category(entry: dict, categories: dict[int, str]) -> None:
    """Adds the name of an entry of `"categories"` under its id.

    Raises:
        Unusable: If it has no such or the id is taken.
    """
    id, name = _whole(entry, "id"), entry.get("name")
    if not isinstance(name, str):
        raise Unusable("malformed entry", f"name={_short(name)} is not a string")
    if id in categories:
        raise Unusable("duplicate id", f"id={id} is there already")
    categories[id] = name


def add_image(entry: dict, images: dict[int, Image], folder: Path) -> None:
    """Adds an entry of `"images"` under its id.

    Raises:
        Unusable: If there is no such file in the folder, or the entry is malformed.
    """
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


def add_object(
    entry: dict,
    objects: dict[int, list],
    images: dict[int, Image],
    classes: dict[int, int],
    masks: bool,
) -> list[Unusable]:
    """Adds what `checked_object` makes of an entry to the objects of its image."""
    image = images.get(hashable(entry.get("image_id")))
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
    number = classes.get(hashable(entry.get("category_id")))
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
    value = hashable(entry.get(name))
    if type(value) is not int:
        shown = _short(entry.get(name))
        raise Unusable("malformed entry", f"{name}={shown} is not an integer")
    if abs(value) >= 2**63:
        raise Unusable("malformed entry", f"{name}={_short(value)} exceeds 64 bits")
    return value


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e9 and math.isfinite(value)


def id_of(entry) -> Any:
    """The id of an entry, which may be anything."""
    return hashable(entry.get("id")) if isinstance(entry, dict) else None


def hashable(value) -> Any:
    """An id, which some programs write as 1.0, or `None`."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) in (int, str) else None


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
