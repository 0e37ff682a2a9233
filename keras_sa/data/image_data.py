"""Images with labels as batches for training or evaluation."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_sa.data.bad_images import BadImages
from keras_sa.data.decoding import decoder_message
from keras_sa.data.guarded_map import guarded_map
from keras_sa.data.mixing import GROUP
from keras_sa.data.mixing import Mixing
from keras_sa.data.preparation import Preparation
from keras_sa.data.schedule import Schedule
from keras_sa.data.schedule import Window
from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import StreamedSource

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ImageData:
    """Batches of images: a pure function of seed, epoch and step.

    Made by `keras_sa.data.load`. Elements are `(images, labels, weights)`: float32
    or uint8 `(batch, height, width, channels)`; int32 `(batch,)`, or float32
    `(batch, classes)` with `one_hot`; float32 `(batch,)`. Every batch is full. The
    rows that fill up an epoch's last one, and skipped bad images, have weight 0.

    Without classes (`class_names` is empty) the labels are the examples' indices.

    Args:
        schedule: Which example is where in which batch.
        preparation: From an example to the network's input.
        one_hot: Whether labels are distributions over the classes.
        uint8: Whether pixels are rounded to whole numbers.
        bad_images: What to do with undecodable images.
        mixing: What mixes the images of a batch.
        shard: This worker's number and the number of workers; each gets its part
            of every global batch.
    """

    schedule: Schedule
    preparation: Preparation
    one_hot: bool
    uint8: bool
    bad_images: BadImages
    mixing: Mixing | None = None
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self):
        index, count = self.shard
        if not 0 <= index < count:
            raise ValueError(
                "`shard` must be this worker's number, counted from 0, and the number "
                f"of workers. Received: shard={self.shard}"
            )
        if self.batch_size % count:
            raise ValueError(
                "The global batch must be a multiple of the number of workers. "
                f"Received: batch_size={self.batch_size}, shard={self.shard}"
            )

    @property
    def source(self) -> IndexedSource | StreamedSource:
        return self.schedule.source

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.source.class_names

    @property
    def num_examples(self) -> int:
        return self.source.num_examples

    @property
    def batch_size(self) -> int:
        """The global batch, of all workers together."""
        return self.schedule.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return self.schedule.steps_per_epoch

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.preparation.shape

    @property
    def training(self) -> bool:
        return self.preparation.augmentation is not None

    @property
    def normalized(self) -> bool:
        """Whether pixels are normalised, instead of in 0..255."""
        return self.preparation.mean is not None

    def sharded(self, index: int, count: int) -> "ImageData":
        """The part of one of `count` workers."""
        bad_images = self.bad_images.of_worker(index)
        return dataclasses.replace(self, shard=(index, count), bad_images=bad_images)

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
            A `tf.data.Dataset` of this worker's part of the global batches.

        Raises:
            ValueError: If there is no such step.
        """
        import tensorflow as tf

        if epochs is None and not self.training:
            epochs = 1
        steps = self.steps_per_epoch
        if epoch < 0 or not 0 <= step <= steps:
            raise ValueError(
                f"`epoch` must be at least 0 and `step` in 0..{steps}. "
                f"Received: epoch={epoch}, step={step}"
            )
        start, window = self._windows()
        batches = self.schedule.batches(window, epoch, step, epochs).map(
            lambda batch: self._with_draws(batch, window)
        )
        result = guarded_map(
            batches,
            self._prepare,
            window.rows,
            self.image_shape,
            tf.float32,
            scalars=("epoch", "step"),
        ).map(
            lambda batch, images, done: self._finish(batch, images, done, start, window)
        )
        if epochs is not None:
            result = result.apply(
                tf.data.experimental.assert_cardinality(steps * epochs - step)
            )
        options = tf.data.Options()
        options.deterministic = True
        # Its thread may keep a finished epoch waiting for as long as that took.
        options.autotune.enabled = False
        # The parts of the workers are made here already.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        return result.prefetch(2).with_options(options)

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
            worker = self.sharded(
                context.input_pipeline_id, context.num_input_pipelines
            )
            rows = context.get_per_replica_batch_size(self.batch_size)
            dataset = worker.dataset(epoch, step, epochs)
            replicas = self.batch_size // worker.shard[1] // rows
            return dataset if replicas == 1 else dataset.rebatch(rows)

        return worker_dataset

    def _windows(self):
        """Where this worker's rows start, and the window that has to be read."""
        rows = self.batch_size // self.shard[1]
        start = self.shard[0] * rows
        if self.mixing is None:
            return start, Window(start, start + rows)
        # Whole groups: an image can be mixed with one of the neighbouring worker.
        first = start // GROUP * GROUP
        last = -(-(start + rows) // GROUP) * GROUP
        return start, Window(first, min(last, self.batch_size))

    def _with_draws(self, batch, window):
        draws = self.preparation.draws(batch["epoch"], batch["step"], self.batch_size)
        rows = slice(window.start, window.stop)
        return {**batch, "draws": {name: d[rows] for name, d in draws.items()}}

    def _prepare(self, row):
        if isinstance(self.source, IndexedSource):
            payload = self.source.payload_of(row["index"])
        else:
            payload = row["payload"]
        return self.preparation(payload, row["epoch"], row["index"], row["draws"])

    def _finish(self, batch, images, done, start, window):
        import tensorflow as tf

        weights = batch["weight"]
        if self.source.encoded:
            weights = self.bad_images.weights(
                weights,
                done,
                lambda rows: self.source.names_of(tf.gather(batch["index"], rows)),
                lambda rows: self._contents(batch, rows),
            )
        labels = batch["label"]
        if self.one_hot:
            labels = tf.one_hot(labels, len(self.class_names))
        augmentation = self.preparation.augmentation
        if augmentation is not None:
            if augmentation.label_smoothing:
                smoothing = augmentation.label_smoothing
                labels = labels * (1 - smoothing) + smoothing / len(self.class_names)
            if self.mixing is not None:
                images, labels = self.mixing(
                    images, labels, batch["epoch"], batch["step"], window.start
                )
        if self.uint8:
            images = tf.saturate_cast(tf.round(images), tf.uint8)
        rows = slice(
            start - window.start,
            start - window.start + self.batch_size // self.shard[1],
        )
        return images[rows], labels[rows], weights[rows]

    def _contents(self, batch, rows):
        """For `BadImages`: the bytes of rows once more, and why there are none."""
        import tensorflow as tf

        if isinstance(self.source, IndexedSource):
            indices = tf.gather(batch["index"], rows)
            return tf.numpy_function(
                functools.partial(_read, self.source), [indices], (tf.string, tf.string)
            )
        return tf.gather(batch["payload"], rows), tf.fill(tf.shape(rows), "")


def _read(source: IndexedSource, indices):
    import tensorflow as tf

    contents, unread = [], []
    for index in indices:
        try:
            contents.append(source.payload_of(index).numpy())
            unread.append(b"")
        except tf.errors.OpError as error:
            contents.append(b"")
            unread.append(decoder_message(error).encode())
    return np.array(contents, object), np.array(unread, object)
