"""What every source of images offers."""

import functools
from abc import ABC
from abc import abstractmethod

import numpy as np


class Source(ABC):
    """Images with labels, in a fixed order.

    Attributes:
        class_names: The names of the classes, in the order of the labels. Empty
            for images without labels.
        num_examples: How many there are.
        encoded: Whether `payload` gives the bytes of image files; otherwise it
            gives uint8 pixels.
        crop_ratio: The part of the image that evaluation looks at: `CROP_RATIO`
            for photos, 1 for small images that fill their frame.
    """

    class_names: tuple[str, ...]
    num_examples: int
    encoded: bool
    crop_ratio: float

    @abstractmethod
    def names_of(self, indices):
        """What to call these examples in a message: a string tensor."""


class IndexedSource(Source):
    """A source that can give any example at once.

    Attributes:
        labels: The class index of every example, an int32 array.
    """

    labels: np.ndarray

    @functools.cached_property
    def _labels(self):
        return host_tensor(self.labels)

    def labels_of(self, indices):
        """The int32 labels of an int64 tensor of indices."""
        import tensorflow as tf

        return tf.gather(self._labels, indices)

    @abstractmethod
    def payload_of(self, index):
        """The bytes or the pixels of one example."""


class StreamedSource(Source):
    """A source that can only be read from its beginning."""

    encoded = True

    @abstractmethod
    def stream(self, epoch, seed: int | None):
        """All examples of one epoch.

        Args:
            epoch: The epoch, an int64 scalar tensor.
            seed: Shuffles with this seed; `None` keeps the order.

        Returns:
            A `tf.data.Dataset` of `(index, label, payload)`, int64, int32 and
            string scalars.
        """


class MissingSplitError(FileNotFoundError):
    """The data is there, but it has no split of this name."""


def check_validation_fraction(fraction: float, split: str | None = None) -> None:
    """Refuses a part to hold out that is none.

    Args:
        fraction: The part.
        split: What is read, where the data has no validation split of its own.

    Raises:
        ValueError: If the fraction is out of its range.
        MissingSplitError: If nothing is held out and `"validation"` is wanted.
    """
    if not 0 <= fraction < 1:
        raise ValueError(
            "`validation_fraction` must be at least 0 and below 1. "
            f"Received: validation_fraction={fraction}"
        )
    if split == "validation" and not fraction:
        raise MissingSplitError(
            "`validation_fraction` must be more than 0 to have a validation split "
            "where the data has none. Received: "
            f"validation_fraction={fraction}, split={split!r}"
        )


def host_tensor(value):
    """A tensor that graphs refer to, instead of holding a copy each."""
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(value)
