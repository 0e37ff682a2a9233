"""Trained networks to a folder that TF Serving takes as it is."""

import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_sa.serving.fusion.fused_network import fuse
from keras_sa.serving.image_input import image_shape
from keras_sa.serving.image_input import normalization
from keras_sa.serving.saved_model.head import find_head
from keras_sa.serving.saved_model.limits import ImageLimits
from keras_sa.serving.saved_model.versions import publish
from keras_sa.serving.saved_model.versions import version_path
from keras_sa.serving.tf_serving import write_warmup
from keras_sa.utils.evaluation_crop import CROP_RATIO
from keras_sa.utils.evaluation_crop import check_crop_ratio

if TYPE_CHECKING:
    import tensorflow as tf


def export(
    model: keras.Model,
    directory: str | Path,
    version: int = 1,
    labels: Sequence[str] | str | Path | None = None,
    top_k: int = 5,
    *,
    image_size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    preprocess: Callable[["tf.Tensor"], "tf.Tensor"] | None = None,
    from_logits: bool | None = None,
    multi_label: bool = False,
    crop_ratio: float = CROP_RATIO,
    fused: bool = True,
    limits: ImageLimits | None = None,
    warmup: bool = False,
    force: bool = False,
) -> Path:
    """Writes a classifier as a SavedModel in TF Serving's layout.

    `DIRECTORY/VERSION` appears complete or not at all, and loads with TensorFlow
    alone, without Keras and without this package. Its signatures:

    - `serving_default` and `predict_bytes`: from `image_bytes`, a string tensor
      `(batch,)` of JPEG, PNG, GIF, BMP or WebP files, to predictions and `valid`;
    - `predict_images`, `predict_images_uint8`: from `images` of the network's size
      in 0..255, float32 or uint8, to predictions;
    - `features`: from `image_bytes` to `features`, the pooled embedding, and `valid`.

    The predictions are `probabilities` `(batch, classes)`, and the `top_k` best
    `classes`, `scores` and `labels` `(batch, top_k)`. A file that can't be decoded
    or is over a limit has `valid` false, zeros and empty labels; the others of its
    batch are not touched. Files are turned as their EXIF orientation says, resized and
    cropped as in evaluation.

    Args:
        model: A network with one image input and one output `(batch, classes)`.
        directory: The model's directory, which holds its versions.
        version: Number of the version, at least 1.
        labels: One name for each class, in the order of the outputs, or a text file
            with one on each line. Defaults to the numbers of the classes.
        top_k: How many classes are returned, at most all.
        image_size: Height and width, or one number for both. Must be given if the
            model's input is of free size.
        mean: Mean of each channel in 0..1. Defaults to ImageNet's for RGB; must be
            given for other images, if `preprocess` is not. A model that normalises
            images by itself gets them in 0..255.
        std: Standard deviation of each channel, likewise.
        preprocess: What to do instead: a function of TensorFlow operations on a
            float32 batch in 0..255, channels last.
        from_logits: Whether the outputs still need a softmax, or a sigmoid if there
            is one class. By default the activation of the last layer tells.
        multi_label: Whether an image may have several classes, so that logits need a
            sigmoid each.
        crop_ratio: The crop's part of the resized image. Defaults to 0.875.
        fused: Whether to export `keras_sa.serving.fuse(model)`, which gives the same
            predictions faster.
        limits: What an image file may cost. Defaults to `ImageLimits()`: 16 MiB and
            25 million pixels.
        warmup: Whether to add the requests that TF Serving runs before it answers
            anybody. Needs `pip install 'keras-sa[serving]'`.
        force: Whether to replace an existing version.

    Returns:
        The path of the version.

    Raises:
        FileExistsError: If the version exists and `force` is false.
        RuntimeError: If Keras runs on another backend than TensorFlow.
        ValueError: If an argument is out of its range or does not fit the model.

    Example:

    >>> export(model, "models/flowers", labels=["daisy", "tulip"])
    PosixPath('models/flowers/1')
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "A SavedModel can only be written with Keras' TensorFlow backend. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    import tensorflow as tf

    from keras_sa.serving.saved_model.signatures import ServingModule
    from keras_sa.serving.saved_model.signatures import ServingOptions

    if not isinstance(top_k, int) or top_k < 1:
        raise ValueError(
            f"`top_k` must be an integer of at least 1. Received: top_k={top_k}"
        )
    check_crop_ratio(crop_ratio)
    target = version_path(directory, version, force)
    network = fuse(model, portable=False) if fused else model
    classifier = find_head(network, from_logits, multi_label)
    shape = image_shape(model, image_size)
    lines = label_lines(labels, classifier.classes)
    preprocess = preprocess or normalization(shape[-1], mean, std, model)

    target.parent.mkdir(parents=True, exist_ok=True)
    # TF Serving ignores names that are not numbers.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as temporary:
        labels_file = Path(temporary) / "labels.txt"
        labels_file.write_text(lines, encoding="utf-8", newline="\n")
        options = ServingOptions(
            preprocess,
            shape,
            min(top_k, classifier.classes),
            labels_file,
            classifier.activation,
            limits or ImageLimits(),
            crop_ratio,
        )
        module = ServingModule(classifier.network, options)
        finished = Path(temporary) / "model"
        tf.saved_model.save(module, str(finished), module.serving_signatures())
        if warmup:
            write_warmup(finished, target.parent.resolve().name)
        publish(finished, target, force)
    return target


def label_lines(labels, classes: int) -> str:
    """The text of a file with one label a line.

    Raises:
        ValueError: If their number is not that of the classes, a label is empty or
            has more than one line, or a file is not in UTF-8.
    """
    if labels is None:
        labels = range(classes)
    elif isinstance(labels, str | Path):
        labels = _read_text(labels).splitlines()
    labels = [str(label) for label in labels]
    if len(labels) != classes:
        raise ValueError(
            f"`labels` must be one for each of the {classes} classes. "
            f"Received: {len(labels)} labels"
        )
    for index, label in enumerate(labels):
        if not label.strip() or "\n" in label or "\r" in label:
            raise ValueError(
                "A label must be one line of text. "
                f"Received: {label!r} for the class {index}"
            )
    return "".join(f"{label}\n" for label in labels)


def _read_text(path):
    try:
        # Windows' editors begin a file with a mark that is no part of the text.
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`labels` must be a text file in UTF-8. Received: {str(path)!r}: {error}"
        ) from error
