"""What every source of images offers."""

from abc import ABC
from abc import abstractmethod


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


class IndexedSource(Source):
    """A source that can give any example at once."""

    @abstractmethod
    def labels_of(self, indices):
        """The int32 labels of an int64 tensor of indices."""

    @abstractmethod
    def payload_of(self, index):
        """The bytes or the pixels of one example."""

    @abstractmethod
    def names_of(self, indices):
        """What to call these examples in a message: a string tensor."""


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

    @abstractmethod
    def names_of(self, indices):
        """What to call these examples in a message: a string tensor."""


def host_tensor(value):
    """A tensor that graphs refer to, instead of holding a copy each."""
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(value)
