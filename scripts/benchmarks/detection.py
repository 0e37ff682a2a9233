"""Non-maximum suppression of many boxes, and detectors on one image."""

from pathlib import Path
from typing import Annotated

import typer

# As the proposals of a level: how many are kept, and from which overlap on.
KEPT, OVERLAP = 2000, 0.7
BACKBONES = ("resnet50", "sa_resnet50")
REFERENCE = "Faster R-CNN, resnet50"


def detection(
    boxes: Annotated[int, typer.Option(min=1, help="Boxes to suppress.")] = 200_000,
    size: Annotated[
        tuple[int, int], typer.Option(help="Height and width of the image.")
    ] = (320, 480),
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Times suppression, and predictions of 100 objects in an image."""
    from keras_sa.scripts.benchmarks.report import report
    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.scripts.benchmarks.timing import interleaved

    times = interleaved(_suppressions(boxes), repeats)
    rows = timing_rows(
        f"{KEPT} of {boxes:,} boxes", times, "tf.image.non_max_suppression"
    )
    times = interleaved(_predictions(size), repeats)
    rows += timing_rows(f"an image of {size[0]}x{size[1]}", times, REFERENCE)
    report("Detection, 80 classes, random weights", rows, csv)


def _suppressions(count):
    import numpy as np
    import tensorflow as tf

    from keras_sa.detection.proposals import best_boxes

    random = np.random.default_rng(0)
    low = random.uniform(0, 1000, (count, 2))
    corners = np.concatenate([low, low + random.uniform(1, 250, (count, 2))], -1)
    boxes = tf.constant(corners, tf.float32)
    scores = tf.constant(random.uniform(size=count), tf.float32)
    batch = boxes[tf.newaxis, :, tf.newaxis], scores[tf.newaxis, :, tf.newaxis]
    suppress = tf.image.non_max_suppression
    return {
        "keras_sa": lambda: best_boxes(*batch, KEPT, OVERLAP)["count"].numpy(),
        "tf.image.non_max_suppression": lambda: suppress(
            boxes, scores, KEPT, OVERLAP
        ).numpy(),
    }


def _predictions(size):
    """Functions that predict. Without a threshold 100 objects are always found."""
    from keras_sa import applications

    builders = {
        "RetinaNet": applications.SARetinaNet,
        "Faster R-CNN": applications.SAFasterRCNN,
        "Mask R-CNN": applications.SAMaskRCNN,
    }
    functions = {}
    for backbone in BACKBONES:
        network = _network(backbone)
        for name, builder in builders.items():
            model = builder(network, score_threshold=0.0)
            functions[f"{name}, {backbone}"] = _prediction(model, size)
    return functions


def _network(name):
    from keras_sa.applications import AttentionResNet

    attention = "sa" if name.startswith("sa_") else None
    return AttentionResNet(
        50,
        attention,
        include_top=False,
        weights=None,
        input_shape=(None, None, 3),
        name=name,
    )


def _prediction(model, size):
    import tensorflow as tf

    from keras_sa.detection.evaluation.coco_evaluation import predict_function

    predict = predict_function(model)
    images = tf.random.stateless_normal((1, *size, 3), (0, 0))
    return lambda: predict(images)["count"].numpy()


if __name__ == "__main__":
    typer.run(detection)
