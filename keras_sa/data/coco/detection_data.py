"""Images with objects as batches for detectors."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.order import epoch_order
from keras_sa.data.coco.reader import Reader
from keras_sa.data.schedule import ENDLESS
from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import Source
from keras_sa.data.sources.source import StreamedSource
from keras_sa.data.stateless_seeds import CROP
from keras_sa.data.stateless_seeds import seed_for
from keras_sa.utils.cpu_count import cpu_count
from keras_sa.utils.normalization import normalized
from keras_sa.utils.resize_within import padded_size
from keras_sa.utils.resize_within import resize_within

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class DetectionData:
    """Batches of images with their objects: a pure function of seed, epoch and step.

    Made by `keras_sa.data.coco.load`. Elements are `(images, targets)` as
    `keras_sa.detection` describes them.

    In training all batches are full: an epoch's last one is filled up with its first
    images. Otherwise images come in their own order, and the last batch is smaller.
    Where a training batch is spread over replicas, the images have the padding that
    they have on one device, unless they come as a stream: a detector's anchors and
    statistics depend on it.

    Args:
        annotations: The images and their objects.
        source: Where the images' bytes come from, in the order of the annotations.
        reader: Reads single images.
        batch_size: The global batch.
        sides: Lengths of the short and, at most, of the long side.
        training: Whether the order is random and images are flipped at random.
        seed: Of order and flips.
        mean: Of each channel, in 0..1.
        std: Standard deviation of each channel.
    """

    annotations: Annotations
    source: Source = field(repr=False)
    reader: Reader = field(repr=False)
    batch_size: int
    sides: tuple[int, int]
    training: bool
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.annotations.class_names

    @property
    def num_examples(self) -> int:
        return len(self.annotations.images)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def epoch(self, epoch: int = 0, step: int = 0) -> "tf.data.Dataset":
        """One epoch, or the rest of it from a step on: see `dataset`."""
        return self.dataset(epoch, step, epochs=1)

    def dataset(
        self, epoch: int = 0, step: int = 0, epochs: int | None = None
    ) -> "tf.data.Dataset":
        """The batches from any point on.

        Args:
            epoch: The first epoch, counted from 0.
            step: The first step in it.
            epochs: How many epochs, the first one included. `None`: endless for
                training, one for evaluation.

        Returns:
            A `tf.data.Dataset` of global batches.

        Raises:
            ValueError: If there is no such step.
        """
        if epoch < 0 or not 0 <= step <= self.steps_per_epoch:
            raise ValueError(
                f"`epoch` must be at least 0 and `step` in 0..{self.steps_per_epoch}. "
                f"Received: epoch={epoch}, step={step}"
            )
        if epochs is None and not self.training:
            epochs = 1
        return self._batches(epoch, step, epochs, self.batch_size)

    def input_fn(
        self, epoch: int = 0, step: int = 0, epochs: int | None = None
    ) -> Callable[["tf.distribute.InputContext"], "tf.data.Dataset"]:
        """For `strategy.distribute_datasets_from_function`.

        Args:
            epoch: See `dataset`.
            step: See `dataset`.
            epochs: See `dataset`.

        Returns:
            A function from a `tf.distribute.InputContext` to the data set of that
            worker, in batches for its replicas.
        """

        def worker_dataset(context):
            if context.num_replicas_in_sync > 1 and not self.training:
                raise ValueError(
                    "Only training images are spread over replicas. "
                    f"Received: replicas={context.num_replicas_in_sync}, training=False"
                )
            part = self.batch_size // context.num_input_pipelines
            rows = context.get_per_replica_batch_size(self.batch_size)
            start = context.input_pipeline_id * part
            return self._batches(epoch, step, epochs, rows, (start, start + part))

        return worker_dataset

    def _batches(self, epoch, step, epochs, rows, window=None):
        """Batches of `rows` images: of all, or of some rows of the global batches."""
        import tensorflow as tf

        start, stop = window or (0, self.batch_size)
        last = ENDLESS if epochs is None else epoch + epochs

        def of_epoch(number):
            skipped = tf.where(number == epoch, step * self.batch_size, 0)
            examples = self._epoch(number).skip(tf.cast(skipped, tf.int64))
            if stop - start < self.batch_size:
                examples = examples.enumerate().filter(
                    lambda row, _: (
                        (row % self.batch_size >= start)
                        & (row % self.batch_size < stop)
                    )
                )
                examples = examples.map(lambda _, example: example)
            return examples if self.training else self._prepared(examples, rows)

        dataset = tf.data.Dataset.range(epoch, last).flat_map(of_epoch)
        if self.training:
            # All batches are full: the next epoch may be read while this one lasts.
            dataset = self._prepared(dataset, rows)
        if epochs is not None:
            count = (self.steps_per_epoch * epochs - step) * ((stop - start) // rows)
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
        options = tf.data.Options()
        options.deterministic = True
        # Its thread may keep a finished epoch waiting for as long as that took.
        options.autotune.enabled = False
        # The parts of the workers are made here already.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        return dataset.prefetch(2).with_options(options)

    def _prepared(self, examples, rows):
        elements = examples.map(
            self._element,
            num_parallel_calls=cpu_count(),
            deterministic=True,
        )
        padding = {"boxes": -1.0, "classes": -1, "ignored": False, "image_size": 0.0}
        if self.reader.mask_size:
            padding["masks"] = -1.0
        return elements.padded_batch(rows, padding_values=(0.0, padding))

    def _epoch(self, epoch):
        """An epoch's images: epoch, index, padded size and, of a stream, the bytes."""
        import tensorflow as tf

        if isinstance(self.source, StreamedSource):
            stream = self.source.stream(epoch, self.seed if self.training else None)
            if self.training:
                stream = stream.repeat().take(self.steps_per_epoch * self.batch_size)
            free = tf.zeros([2], tf.int32)
            return stream.map(lambda index, _, payload: (epoch, index, free, payload))
        if self.training:
            order, sizes = tf.numpy_function(self._order, [epoch], (tf.int64, tf.int32))
            count = self.steps_per_epoch * self.batch_size
            order.set_shape((count,))
            sizes.set_shape((count, 2))
        else:
            order = tf.range(self.num_examples, dtype=tf.int64)
            sizes = tf.zeros((self.num_examples, 2), tf.int32)
        indices = tf.data.Dataset.from_tensor_slices((order, sizes))
        return indices.map(lambda index, size: (epoch, index, size))

    def _order(self, epoch):
        """The order of an epoch, and the padded size of each one's global batch."""
        images = self.annotations.images
        wide = np.array([image.width >= image.height for image in images])
        order = epoch_order(int(epoch), self.seed, wide, self.batch_size)
        sizes = padded_sizes([(i.height, i.width) for i in images], self.sides)
        largest = sizes[order].reshape(-1, self.batch_size, 2).max(axis=1)
        return order, np.repeat(largest, self.batch_size, axis=0)

    def _element(self, epoch, index, at_least, payload=None):
        import tensorflow as tf

        if isinstance(self.source, IndexedSource):
            payload = self.source.payload_of(index)
        image, targets = self.reader.read(index, payload)
        before = tf.shape(image)[:2]
        image, after = prepared_image(image, self.sides, self.mean, self.std, at_least)
        factor = after / tf.cast(before, tf.float32)
        targets["boxes"] *= tf.tile(factor[::-1], [2])
        targets["image_size"] = after
        if self.training:
            seed = seed_for(CROP, self.seed, epoch, index)
            image, targets = tf.cond(
                tf.random.stateless_uniform((), seed) < 0.5,
                lambda: _flipped(image, targets),
                lambda: (image, targets),
            )
        return image, targets


def padded_sizes(sizes, sides) -> np.ndarray:
    """Heights and widths that `prepared_image` gives images, int32 `(images, 2)`.

    Args:
        sizes: Height and width of each image.
        sides: See `DetectionData`.
    """
    sizes = np.array(sizes, "float32")
    short, long = (np.float32(side) for side in sides)
    factors = np.minimum(short / sizes.min(axis=1), long / sizes.max(axis=1))
    resized = np.floor(sizes * factors[:, np.newaxis] + np.float32(0.5))
    return padded_size(resized.clip(1, long).astype("int32"))


def prepared_image(image, sides, mean, std, at_least=(0, 0)):
    """Resizes, normalises and pads an image.

    Args:
        image: `(height, width, 3)` in 0..255.
        sides: See `DetectionData`.
        mean: See `DetectionData`.
        std: See `DetectionData`.
        at_least: Height and width with the padding are not below these.

    Returns:
        The float32 image, whose sides are multiples of 32, and as float32 `(2,)` its
        height and width without the padding.
    """
    import tensorflow as tf

    image = resize_within(image, *sides)
    size = tf.shape(image)[:2]
    image = normalized(image, mean, std)
    padded = tf.maximum(padded_size(size), at_least)
    below, right = tf.unstack(padded - size)
    image = tf.pad(image, [[0, below], [0, right], [0, 0]])
    image.set_shape((None, None, 3))
    return image, tf.cast(size, tf.float32)


def _flipped(image, targets):
    import tensorflow as tf

    width = targets["image_size"][1]
    left, top, right, bottom = tf.unstack(targets["boxes"], axis=-1)
    flipped = {
        **targets,
        "boxes": tf.stack([width - right, top, width - left, bottom], axis=-1),
    }
    if "masks" in targets:
        flipped["masks"] = tf.reverse(targets["masks"], [-1])
    inside = tf.cast(width, tf.int32)
    # The padding stays at the right.
    image = tf.concat([tf.reverse(image[:, :inside], [1]), image[:, inside:]], axis=1)
    image.set_shape((None, None, 3))
    return image, flipped
