"""Small images with coloured boxes and discs in them, and tiny detectors."""

import numpy as np

from keras_sa.applications import AttentionResNet
from keras_sa.applications import SAFasterRCNN
from keras_sa.applications import SAMaskRCNN
from keras_sa.applications import SARetinaNet

COLOURS = np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, -1.0, 2.0]])
OPTIONS = {
    SARetinaNet: {"depth": 1},
    SAFasterRCNN: {
        "units": 64,
        "proposal_samples": 64,
        "region_samples": 32,
        "train_proposals": 100,
        "test_proposals": 50,
    },
}
OPTIONS[SAMaskRCNN] = OPTIONS[SAFasterRCNN]


def coloured_shapes(count, height=64, width=96, seed=0, objects=3, cells=28):
    """Images `(count, height, width, 3)` and their targets.

    Class 0 are red rectangles, 1 green discs (ellipses), 2 blue rectangles. Every
    image has 1 to `objects` of them.
    """
    random = np.random.default_rng(seed)
    images = random.normal(0, 0.1, (count, height, width, 3)).astype("float32")
    boxes = np.full((count, objects, 4), -1, "float32")
    classes = np.full((count, objects), -1, "int32")
    masks = np.full((count, objects, cells, cells), -1, "float32")
    y, x = np.mgrid[:height, :width] + 0.5
    v, u = (np.mgrid[:cells, :cells] + 0.5) / cells * 2 - 1
    for image in range(count):
        for row in range(random.integers(1, objects + 1)):
            sides = random.integers(16, 32, 2)
            low = random.integers(0, [width - sides[0] + 1, height - sides[1] + 1])
            box = np.concatenate([low, low + sides])
            kind = random.integers(3)
            centre, half = (box[:2] + box[2:]) / 2, sides / 2
            inside = (abs(x - centre[0]) < half[0]) & (abs(y - centre[1]) < half[1])
            mask = np.ones((cells, cells))
            if kind == 1:
                round_ = ((x - centre[0]) / half[0]) ** 2
                inside = round_ + ((y - centre[1]) / half[1]) ** 2 < 1
                mask = u**2 + v**2 < 1
            images[image][inside] = COLOURS[kind]
            boxes[image, row], classes[image, row] = box, kind
            masks[image, row] = mask
    return images, {"boxes": boxes, "classes": classes, "masks": masks}


def tiny_backbone(**arguments):
    arguments = {"attention": "sa", "attention_options": {"groups": 4}, **arguments}
    return AttentionResNet(
        include_top=False,
        weights=None,
        blocks=(1, 1, 1, 1),
        width=16,
        input_shape=(None, None, 3),
        **arguments,
    )


def tiny_detector(builder=SAMaskRCNN, backbone=None, **arguments):
    """A detector of three classes that trains in seconds."""
    return builder(
        backbone or tiny_backbone(),
        **{
            "classes": 3,
            "channels": 32,
            "freeze": False,
            "max_detections": 20,
            "anchor_scale": 4.0,
            **OPTIONS[builder],
            **arguments,
        },
    )
