"""Which example is where in which batch: a function of seed, epoch and step."""

from dataclasses import dataclass

from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import StreamedSource
from keras_sa.data.stateless_seeds import ORDER
from keras_sa.data.stateless_seeds import seed_for

# Practically for ever, and still an int64 after multiplications with batch sizes.
ENDLESS = 2**31


@dataclass(frozen=True)
class Window:
    """The rows `start` to `stop` of every global batch, which one worker reads."""

    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Schedule:
    """The order of a source's examples.

    Every epoch has the same number of steps, and every batch the same number of
    rows. Where an epoch's last batch is not full, it is filled up with the epoch's
    first examples again, at weight 0: real images, so that batch statistics stay
    sane.

    Args:
        source: The images.
        batch_size: The global batch.
        shuffle: Whether each epoch has its own random order.
        drop_remainder: Whether to leave out a last batch that isn't full.
        seed: Of the order.
    """

    source: IndexedSource | StreamedSource
    batch_size: int
    shuffle: bool
    drop_remainder: bool
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        if self.drop_remainder:
            return self.source.num_examples // self.batch_size
        return -(-self.source.num_examples // self.batch_size)

    def batches(self, window: Window, epoch: int, step: int, epochs: int | None):
        """The rows of a window of all batches from one on.

        Args:
            window: The rows.
            epoch: The first epoch.
            step: The first step in it.
            epochs: How many epochs, counted from the first. `None`: endless.

        Returns:
            A `tf.data.Dataset` of dicts: `epoch` and `step`, int64 scalars;
            `index`, `label` and `weight`, int64, int32 and float32 `(rows,)`; for a
            streamed source also `payload`, string `(rows,)`.
        """
        import tensorflow as tf

        last = ENDLESS if epochs is None else epoch + epochs

        def of_epoch(number):
            first = tf.where(number == epoch, step, 0)
            if isinstance(self.source, IndexedSource):
                return self._indexed_epoch(self.source, window, number, first)
            return self._streamed_epoch(self.source, window, number, first)

        return tf.data.Dataset.range(epoch, last).flat_map(of_epoch)

    def _indexed_epoch(self, source: IndexedSource, window, epoch, step):
        import tensorflow as tf

        order = tf.range(self.source.num_examples, dtype=tf.int64)
        if self.shuffle:
            keys = tf.random.stateless_uniform(
                (self.source.num_examples,),
                seed_for(ORDER, self.seed, epoch, 0),
                minval=None,
                maxval=None,
                dtype=tf.int64,
                alg="philox",
            )
            order = tf.cast(tf.argsort(keys, stable=True), tf.int64)

        def batch(step):
            rows = tf.range(window.start, window.stop, dtype=tf.int64)
            rows += step * self.batch_size
            index = tf.gather(order, rows % self.source.num_examples)
            return {
                "epoch": epoch,
                "step": step,
                "index": index,
                "label": source.labels_of(index),
                "weight": self._weights(rows),
            }

        steps = tf.data.Dataset.range(tf.cast(step, tf.int64), self.steps_per_epoch)
        return steps.map(batch)

    def _streamed_epoch(self, source: StreamedSource, window, epoch, step):
        import tensorflow as tf

        stream = source.stream(epoch, self.seed if self.shuffle else None)
        # Starts again where the last batch has to be filled.
        rows = stream.repeat().take(self.steps_per_epoch * self.batch_size).enumerate()
        rows = rows.skip(tf.cast(step, tf.int64) * self.batch_size)
        rows = rows.filter(
            lambda row, _: (
                (row % self.batch_size >= window.start)
                & (row % self.batch_size < window.stop)
            )
        )

        def batch(row, example):
            index, label, payload = example
            return {
                "epoch": epoch,
                "step": row[0] // self.batch_size,
                "index": index,
                "label": label,
                "weight": self._weights(row),
                "payload": payload,
            }

        return rows.batch(window.rows, drop_remainder=True).map(batch)

    def _weights(self, rows):
        import tensorflow as tf

        return tf.cast(rows < self.source.num_examples, tf.float32)
