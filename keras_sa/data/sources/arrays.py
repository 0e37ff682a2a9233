"""Images in memory."""

import functools
from collections.abc import Sequence

import numpy as np

from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import check_validation_fraction
from keras_sa.data.sources.source import host_tensor


class ArraySource(IndexedSource):
    """NumPy arrays as Keras' data sets have them.

    Args:
        images: uint8, `(examples, height, width)` for grey images or `(examples,
            height, width, channels)` with 1 or 3 channels.
        labels: Integer class indices, `(examples,)` or `(examples, 1)`.
        class_names: Names of the classes. Defaults to their numbers.
        name: What to call the array in messages.

    Raises:
        ValueError: If the arrays are not of this form.
    """

    encoded = False
    crop_ratio = 1.0

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] | None = None,
        name: str = "array",
    ):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim == 3:
            images = images[..., np.newaxis]
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[3] not in (1, 3)
        ):
            raise ValueError(
                "`images` must be uint8 in 0..255, grey or RGB, of shape (examples, "
                "height, width[, channels]). "
                f"Received: dtype={images.dtype}, shape={images.shape}"
            )
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                "`labels` must hold one integer for each image. "
                f"Received: dtype={labels.dtype}, shape={labels.shape} for "
                f"{len(images)} images"
            )
        if not len(images):
            raise ValueError("`images` must hold at least one image. Received: none")
        if class_names is None:
            class_names = [str(number) for number in range(int(labels.max()) + 1)]
        if labels.min() < 0 or labels.max() >= len(class_names):
            raise ValueError(
                f"`labels` must be in 0..{len(class_names) - 1}, the number of classes "
                f"less one. Received: {labels.min()}..{labels.max()}"
            )
        self.images = images
        self.labels = labels.astype("int32")
        self.class_names = tuple(class_names)
        self.num_examples = len(images)
        self.name = name

    @functools.cached_property
    def _images(self):
        return host_tensor(self.images)

    def payload_of(self, index):
        import tensorflow as tf

        return tf.gather(self._images, index)

    def names_of(self, indices):
        import tensorflow as tf

        return tf.strings.join([f"{self.name} image ", tf.strings.as_string(indices)])


def part_of(
    images: np.ndarray, labels: np.ndarray, split: str, validation_fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Training arrays without the part that is held out, or that part.

    Args:
        images: All images of the training split.
        labels: Their labels.
        split: `"train"` or `"validation"`.
        validation_fraction: The part of each class that is held out, always the
            same examples.

    Returns:
        Images and labels.

    Raises:
        ValueError: If the fraction is out of its range.
        MissingSplitError: If nothing is held out and `"validation"` is wanted.
    """
    check_validation_fraction(validation_fraction, split)
    # The legacy generator: its numbers never change.
    order = np.random.RandomState(0).permutation(len(labels))
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        held_out[members[: int(validation_fraction * len(members))]] = True
    chosen = held_out if split == "validation" else ~held_out
    return images[chosen], labels[chosen]
