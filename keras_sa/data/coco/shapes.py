"""Pictures of discs, squares and triangles, written as a COCO data set."""

import json
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_sa.data.coco.picture import CATEGORIES
from keras_sa.data.coco.picture import Picture
from keras_sa.utils.files import write_atomically

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Shapes:
    """What the pictures are like.

    Args:
        images: How many to train on, at least 2.
        validation: How many to validate on, at least 2.
        size: Sides are within a quarter of it, in pixels.
        objects: At most so many in a picture.
        seed: Of everything.
    """

    images: int = 400
    validation: int = 100
    size: int = 128
    objects: int = 5
    seed: int = 0

    def __post_init__(self):
        if min(self.images, self.validation) < 2 or self.size < 32 or self.objects < 1:
            raise ValueError(
                "`images` and `validation` must be at least 2, `size` at least 32 and "
                f"`objects` at least 1. Received: {self}"
            )


def write_shapes(directory: str | Path, shapes: Shapes | None = None) -> Path:
    """Writes the pictures and their annotations, if they are not there already.

    The files are COCO's: `annotations/instances_train.json` and
    `instances_val.json`, pictures in `train/` and `val/`. Objects that nothing hides
    have polygons, the others a mask of what is seen of them (RLE). Each split has
    one picture without objects and one with a crowd.

    Args:
        directory: Where to. With the same settings it is left as it is.
        shapes: The settings. Equal settings give equal files.

    Returns:
        The directory.

    Raises:
        FileExistsError: If it holds another data set.
        ValueError: If the settings are out of their range.
    """
    directory, shapes = Path(directory), shapes or Shapes()
    for number, split in enumerate(SPLITS):
        path = directory / "annotations" / f"instances_{split}.json"
        info = {"description": "keras_sa shapes", **asdict(shapes)}
        if path.exists():
            if _info(path) != info:
                raise FileExistsError(
                    f"{str(path)!r} is there already and holds something else. "
                    f"Received: {shapes}"
                )
            continue
        (directory / split).mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        content = _write_split(directory / split, shapes, number)
        # Last: where it is, the pictures are complete.
        write_atomically(path, json.dumps({"info": info, **content}))
    return directory


def _info(path):
    try:
        return json.loads(path.read_text()).get("info")
    except (ValueError, AttributeError):
        return None


def _write_split(folder, shapes, split):
    import tensorflow as tf

    images: list[dict] = []
    annotations: list[dict] = []
    for number in range(shapes.validation if split else shapes.images):
        random = np.random.default_rng([shapes.seed, split, number])
        picture = Picture(random, shapes.size)
        if number == 1:
            picture.add_crowd()
        if number != 0:
            for _ in range(random.integers(1, shapes.objects + 1)):
                picture.add_object()
        file = f"{number + 1:012d}.png"
        pixels = np.clip(np.rint(picture.pixels), 0, 255).astype("uint8")
        with tf.device("CPU:0"):
            (folder / file).write_bytes(tf.io.encode_png(pixels).numpy())
        height, width = pixels.shape[:2]
        images.append(
            {"id": number + 1, "file_name": file, "height": height, "width": width}
        )
        annotations += [
            {"id": len(annotations) + i, "image_id": number + 1, **annotation}
            for i, annotation in enumerate(picture.annotations(), start=1)
        ]
    categories = [
        {"id": id, "name": name, "supercategory": "shape"}
        for id, name in CATEGORIES.items()
    ]
    return {"images": images, "annotations": annotations, "categories": categories}
