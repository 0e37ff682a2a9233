"""A small data set in COCO's format whose every number is known."""

import json

import numpy as np
import tensorflow as tf

# Two wide images, a high one and an empty one; ids with gaps.
CATEGORIES = [{"id": 90, "name": "box"}, {"id": 4, "name": "wedge"}]
IMAGES = [
    {"id": 7, "file_name": "wide.png", "height": 40, "width": 80},
    {"id": 3, "file_name": "high.png", "height": 64, "width": 32},
    {"id": 11, "file_name": "more/empty.png", "height": 40, "width": 60},
    {"id": 12, "file_name": "crowd.png", "height": 20, "width": 20},
]


def rectangle(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def content():
    crowd = np.zeros((20, 20), "uint8")
    crowd[5:15, 2:12] = 1
    # 2 columns of zeros, then runs of 10 in columns of 20.
    counts = [2 * 20 + 5, *[10, 10] * 9, 10, 5 + 8 * 20]
    wedge = [[10.0, 10.0, 50.0, 10.0, 10.0, 30.0]]
    annotations = [
        annotation(21, 7, 4, [10, 10, 40, 20], wedge, area=400.0),
        annotation(22, 7, 90, [60, 5, 16, 30], rectangle(60, 5, 16, 30)),
        annotation(23, 3, 90, [4, 8, 20, 40], rectangle(4, 8, 20, 40)),
        annotation(
            24,
            12,
            90,
            [2, 5, 10, 10],
            {"size": [20, 20], "counts": counts},
            iscrowd=1,
        ),
    ]
    return {
        "images": [dict(image) for image in IMAGES],
        "categories": [dict(category) for category in CATEGORIES],
        "annotations": annotations,
    }


def annotation(id, image, category, box, segmentation, **more):
    return {
        "id": id,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": float(box[2] * box[3]),
        "iscrowd": 0,
        "segmentation": segmentation,
        **more,
    }


def write(folder, content, split="train"):
    """Writes the files; objects are white on black, the wedge too."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(content))
    for image in IMAGES:
        pixels = np.zeros((image["height"], image["width"], 3), "uint8")
        rows, columns = np.mgrid[: image["height"], : image["width"]] + 0.5
        if image["id"] == 7:
            pixels[(rows > 10) & (columns > 10) & (columns - 10 < 2 * (30 - rows))] = (
                255
            )
            pixels[5:35, 60:76] = 255
        if image["id"] == 3:
            pixels[8:48, 4:24] = 255
        if image["id"] == 12:
            pixels[5:15, 2:12] = 255
        file = folder / split / image["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tf.io.encode_png(pixels).numpy())
    return folder
