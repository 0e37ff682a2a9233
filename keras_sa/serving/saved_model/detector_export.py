"""Trained detectors to a folder that TF Serving takes as it is."""

import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_sa.serving.image_input import normalization
from keras_sa.serving.saved_model.classifier_export import label_lines
from keras_sa.serving.saved_model.limits import ImageLimits
from keras_sa.serving.saved_model.versions import publish
from keras_sa.serving.saved_model.versions import version_path
from keras_sa.serving.tf_serving import write_warmup

if TYPE_CHECKING:
    import tensorflow as tf


def export_detector(
    model: keras.Model,
    directory: str | Path,
    version: int = 1,
    labels: Sequence[str] | str | Path | None = None,
    *,
    sides: tuple[int, int] = (800, 1333),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    preprocess: Callable[["tf.Tensor"], "tf.Tensor"] | None = None,
    limits: ImageLimits | None = None,
    warmup: bool = False,
    force: bool = False,
) -> Path:
    """Writes a detector as a SavedModel in TF Serving's layout.

    Like `keras_sa.serving.export` for classifiers: complete or not at all, loaded
    with TensorFlow alone, and a file that can't be decoded does not touch the others
    of its batch. Its signatures:

    - `serving_default` and `predict_bytes`: from `image_bytes`, a string tensor
      `(batch,)` of JPEG, PNG, GIF, BMP or WebP files. They are turned as
      their EXIF orientation says and resized as in training; boxes are in pixels of the
      picture as a person sees it;
    - `predict_images`, `predict_images_uint8`: from `images`
      `(batch, height, width, 3)` in 0..255 of any size, float32 or uint8, which are
      not resized.

    Each image is looked at alone: its answer is the same whoever else is in the batch.

    They answer with `boxes`, `classes`, `scores`, `count` and, of Mask R-CNN,
    `masks`, as `keras_sa.detection` describes predictions; with `labels`
    `(batch, detections)`, the names of the classes; and with `valid` `(batch,)`,
    whether the file could be decoded.

    Args:
        model: A detector of `keras_sa.applications`, for images of any size.
        directory: The model's directory, which holds its versions.
        version: Number of the version, at least 1.
        labels: One name for each class, or a text file with one on each line.
            Defaults to the numbers of the classes.
        sides: Length of the short side that files are resized to, and at most of the
            long one. Choose those of the training.
        mean: Mean of each channel in 0..1. Defaults to ImageNet's.
        std: Standard deviation of each channel, likewise.
        preprocess: What to do instead: a function of TensorFlow operations on a
            float32 batch in 0..255.
        limits: What an image file may cost. Defaults to `ImageLimits()`.
        warmup: Whether to add the requests that TF Serving runs before it answers
            anybody. Needs `pip install 'keras-sa[serving]'`.
        force: Whether to replace an existing version.

    Returns:
        The path of the version.

    Raises:
        FileExistsError: If the version exists and `force` is false.
        ValueError: If an argument is out of its range or does not fit the model.

    Example:

    >>> export_detector(model, "models/shapes", labels=["disc", "square", "triangle"])
    PosixPath('models/shapes/1')
    """
    import tensorflow as tf

    from keras_sa.detection.detector import Detector
    from keras_sa.serving.saved_model.detector_signatures import DetectorModule
    from keras_sa.serving.saved_model.detector_signatures import DetectorOptions

    if not isinstance(model, Detector):
        raise ValueError(
            "`model` must be a detector of `keras_sa.applications`. "
            f"Received: model={model!r}"
        )
    size = model.backbone.inputs[0].shape[1:3]
    if tuple(size) != (None, None):
        raise ValueError(
            "`model` must take images of any size: build it without `image_size`. "
            f"Received: model={model.name!r} for images of the size {tuple(size)}"
        )
    if len(sides) != 2 or not 32 <= sides[0] <= sides[1]:
        raise ValueError(
            "`sides` must be a short and a long side of at least 32. "
            f"Received: sides={sides}"
        )
    target = version_path(directory, version, force)
    lines = label_lines(labels, model.classes)
    target.parent.mkdir(parents=True, exist_ok=True)
    # TF Serving ignores names that are not numbers.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as temporary:
        labels_file = Path(temporary) / "labels.txt"
        labels_file.write_text(lines, encoding="utf-8", newline="\n")
        options = DetectorOptions(
            preprocess or normalization(3, mean, std),
            (sides[0], sides[1]),
            labels_file,
            limits or ImageLimits(),
        )
        module = DetectorModule(model, options)
        finished = Path(temporary) / "model"
        tf.saved_model.save(module, str(finished), module.serving_signatures())
        if warmup:
            write_warmup(finished, target.parent.resolve().name)
        publish(finished, target, force)
    return target
