"""What is known of the images of a detection data set."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Image:
    """An image as the annotations describe it."""

    id: int
    name: str
    height: int
    width: int


@dataclass(frozen=True)
class Objects:
    """The objects of one image, or of all of them.

    Args:
        boxes: float32 `(objects, 4)`: x1, y1, x2, y2 in pixels of the image.
        classes: int32 `(objects,)`, from 0 on.
        crowds: bool `(objects,)`.
        areas: float32 `(objects,)`, in pixels: what sizes are judged by.
        segmentations: For each object what COCO's file holds: a list of polygons or
            an RLE. `None` where there are boxes only.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowds: np.ndarray
    areas: np.ndarray
    segmentations: list | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def part(self, start: int, stop: int) -> "Objects":
        """The objects from a row to another one."""
        rows = slice(start, stop)
        return Objects(
            self.boxes[rows],
            self.classes[rows],
            self.crowds[rows],
            self.areas[rows],
            None if self.segmentations is None else self.segmentations[rows],
        )


@dataclass(frozen=True)
class Annotations:
    """The images of a data set and what can be seen on them.

    Args:
        images: The images.
        objects: The objects of all images, in the images' order.
        starts: int64 `(images + 1,)`: where in `objects` each image's are.
        category_ids: The category id of every class. They may have gaps.
        class_names: The name of every class.
    """

    images: tuple[Image, ...]
    objects: Objects
    starts: np.ndarray
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.category_ids)

    def objects_of(self, index: int) -> Objects:
        """The objects of one image."""
        return self.objects.part(self.starts[index], self.starts[index + 1])


def gather(images, objects_of, categories: dict[int, str]) -> Annotations:
    """Puts the objects of images into arrays.

    Args:
        images: The images.
        objects_of: For each image a list of tuples `(box, class, crowd, area,
            segmentation)`.
        categories: The name of every category, by its id.

    Returns:
        The annotations; they have segmentations if any object has one.
    """
    rows = [row for objects in objects_of for row in objects]
    counts = [len(objects) for objects in objects_of]
    boxes, classes, crowds, areas, segmentations = (
        zip(*rows, strict=True) if rows else ((),) * 5
    )
    known = any(segmentation is not None for segmentation in segmentations)
    return Annotations(
        images=tuple(images),
        objects=Objects(
            np.array(boxes, "float32").reshape(-1, 4),
            np.array(classes, "int32"),
            np.array(crowds, "bool"),
            np.array(areas, "float32"),
            list(segmentations) if known else None,
        ),
        starts=np.cumsum([0, *counts]),
        category_ids=tuple(categories),
        class_names=tuple(categories.values()),
    )
