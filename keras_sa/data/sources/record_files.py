"""Examples in TFRecord files, read in parallel and in a fixed order."""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_sa.data.sources.source import StreamedSource
from keras_sa.data.sources.source import host_tensor
from keras_sa.data.stateless_seeds import ORDER
from keras_sa.data.stateless_seeds import seed_for
from keras_sa.utils.evaluation_crop import CROP_RATIO

# Shards that are read side by side, the records taken of one at a time, and the
# records among which the order is random after that.
CYCLE, BLOCK, BUFFER = 8, 16, 1024


@dataclass(frozen=True)
class Shard:
    """A part of a file: `take` records after the first `skip`."""

    file: str
    skip: int
    take: int


class RecordSource(StreamedSource):
    """A source of TFRecord files.

    A training epoch reads the shards in a random order, several side by side, and
    shuffles what comes from them part by part; all of it follows from seed and
    epoch. Every worker reads all records and decodes its own.

    Args:
        name: What to call the source in messages.
        shards: The files.
        parse: From a serialized record to its label (an integer scalar tensor) and
            the bytes of its image.
        class_names: Names of the classes.
    """

    crop_ratio = CROP_RATIO

    def __init__(
        self,
        name: str,
        shards: Sequence[Shard],
        parse: Callable,
        class_names: Sequence[str],
    ):
        self.name = name
        self.shards = tuple(shard for shard in shards if shard.take)
        self.parse = parse
        self.class_names = tuple(class_names)
        self.num_examples = sum(shard.take for shard in self.shards)
        if not self.num_examples:
            raise ValueError(f"{name} holds no examples.")

    def stream(self, epoch, seed):
        import tensorflow as tf

        takes = np.array([shard.take for shard in self.shards], "int64")
        starts = host_tensor(np.cumsum(takes) - takes)
        takes = host_tensor(takes)
        skips = host_tensor(np.array([shard.skip for shard in self.shards], "int64"))
        files = host_tensor([shard.file for shard in self.shards])

        def read(number):
            # One tensor each: TensorFlow 2.21 crashes in its optimisation of `skip`
            # and `take` when their number is one of several outputs of `unstack`.
            records = tf.data.TFRecordDataset(tf.gather(files, number))
            records = records.skip(tf.gather(skips, number))
            records = records.take(tf.gather(takes, number))
            return records.enumerate(tf.gather(starts, number))

        numbers = tf.range(len(self.shards))
        if seed is None:
            records = tf.data.Dataset.from_tensor_slices(numbers).flat_map(read)
        else:
            keys = seed_for(ORDER, seed, epoch, 0)
            draws = tf.random.stateless_uniform((len(self.shards),), keys, alg="philox")
            numbers = tf.data.Dataset.from_tensor_slices(tf.argsort(draws, stable=True))
            records = numbers.interleave(
                read, CYCLE, BLOCK, num_parallel_calls=CYCLE, deterministic=True
            )
            records = records.batch(BUFFER).enumerate()
            records = records.map(
                lambda number, part: self._shuffled(part, seed, epoch, number)
            )
            records = records.prefetch(1).unbatch()

        def example(index, record):
            label, contents = self.parse(record)
            return index, tf.cast(label, tf.int32), contents

        return records.map(example)

    @staticmethod
    def _shuffled(part, seed, epoch, number):
        # Dataset.shuffle would also depend on TensorFlow's global seed.
        import tensorflow as tf

        indices, records = part
        draws = tf.random.stateless_uniform(
            tf.shape(indices), seed_for(ORDER, seed, epoch, number + 1), alg="philox"
        )
        order = tf.argsort(draws, stable=True)
        return tf.gather(indices, order), tf.gather(records, order)

    def names_of(self, indices):
        import tensorflow as tf

        return tf.strings.join([f"{self.name} example ", tf.strings.as_string(indices)])
