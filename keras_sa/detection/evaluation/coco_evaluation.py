"""Evaluates detectors on a data set with COCO's metrics."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_sa.data.coco import DetectionData
from keras_sa.detection.evaluation.coco_metrics import backend_classes
from keras_sa.detection.evaluation.coco_metrics import coco_metrics
from keras_sa.detection.evaluation.coco_results import coco_ground_truth
from keras_sa.detection.evaluation.coco_results import coco_results
from keras_sa.utils.resize_within import padded_size

# Of a batch of one image to predictions, see `keras_sa.detection`.
PredictFunction = Callable[[Any], dict[str, Any]]


def evaluate(
    detector: keras.Model | PredictFunction,
    data: DetectionData,
    *,
    backend: str = "pycocotools",
    kinds: tuple[str, ...] | None = None,
) -> dict[str, float]:
    """COCO's average precisions of a detector.

    Resizing and padding are undone: boxes and masks are compared in the images as
    they are in their files. Images that can't be decoded, where the data skips them,
    are left out. Each image is looked at alone, with the padding that it needs by
    itself: the figures are the same whatever the batches of the data.

    Args:
        detector: A model of `keras_sa.applications`, or a function of a batch of one
            image that returns what its `predict` would.
        data: The images, of `keras_sa.data.coco.load(..., training=False)`; for
            masks with a `mask_size`.
        backend: See `coco_metrics`.
        kinds: `("box",)`, `("mask",)` or both. Defaults to what the detector predicts
            and the data has.

    Returns:
        See `coco_metrics`.

    Raises:
        ImportError: If the backend is not installed.
        ValueError: If the data is shuffled, or masks are asked for that the data or
            the detector does not have.

    Example:

    ```python
    data = keras_sa.data.coco.load("coco:photos", "validation", mask_size=56)
    print(keras_sa.detection.evaluate(model, data)["box_ap"])
    ```
    """
    backend_classes(backend)  # refused before images are looked at
    masks = data.annotations.objects.segmentations is not None
    if kinds is not None and "mask" in kinds and not masks:
        raise ValueError(
            "The data has no masks: load it with a `mask_size`. "
            f"Received: kinds={kinds}"
        )
    results, predicted = _detect(detector, data)
    if kinds is None:
        kinds = ("box", "mask") if masks and "masks" in predicted else ("box",)
    if "mask" in kinds and "masks" not in predicted:
        raise ValueError(
            f"The detector predicts no masks, but {sorted(predicted)}. "
            f"Received: kinds={kinds}"
        )
    readable = [
        index
        for index in range(data.num_examples)
        if index not in data.reader.unreadable
    ]
    truth = coco_ground_truth(data.annotations, readable)
    found: dict[str, float] = {}
    for kind in kinds:
        found |= coco_metrics(truth, results, kind, backend)
    return found


def detect(detector: keras.Model | PredictFunction, data: DetectionData) -> list[dict]:
    """Detections of all images of a data set, as COCO's results.

    Args:
        detector: See `evaluate`.
        data: See `evaluate`.

    Returns:
        See `coco_results`. Their `image_id` and `category_id` are the data set's.

    Raises:
        ValueError: If the data is shuffled.
    """
    results, _ = _detect(detector, data)
    return results


def _detect(detector, data):
    """The results, and the names of what is predicted even where nothing is found."""
    if data.training:
        raise ValueError(
            "Images must come in their own order: load them with `training=False`. "
            f"Received: data={data}"
        )
    predict = predict_function(detector)
    results, index, found = [], 0, {}
    for images, targets in data.epoch():
        for image, size in zip(images, targets["image_size"].numpy(), strict=True):
            height, width = padded_size(size.astype("int32"))
            found = predict(image[np.newaxis, :height, :width])
            if index not in data.reader.unreadable:
                results += coco_results(
                    {name: np.asarray(value)[0] for name, value in found.items()},
                    data.annotations.images[index],
                    tuple(size),
                    data.annotations.category_ids,
                )
            index += 1
    return results, set(found)


def predict_function(detector: keras.Model | PredictFunction) -> PredictFunction:
    """A function from images to detections, for images of any size.

    Unlike `predict_on_batch` it runs once also under a strategy of several replicas,
    with the weights of the first one.
    """
    import tensorflow as tf

    if not isinstance(detector, keras.Model):
        return detector

    def predict(images):
        # The class's, whatever prepares the model for a strategy.
        return type(detector).predict_step(detector, images)

    return tf.function(predict, reduce_retracing=True)
