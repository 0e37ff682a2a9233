"""A parallel map over the rows of batches, in which single rows may fail."""

from collections.abc import Callable
from collections.abc import Sequence

from keras_sa.utils.cpu_count import cpu_count


def guarded_map(
    batches,
    function: Callable,
    rows: int,
    shape: tuple[int, ...],
    dtype,
    scalars: Sequence[str] = (),
):
    """Maps the rows of every batch in parallel; a row that fails becomes zeros.

    An error inside `tf.data` takes the whole batch with it and doesn't say which
    row it was. Here every batch is a small data set of its own, whose failing rows
    are left out and noticed by their missing numbers.

    Args:
        batches: A `tf.data.Dataset` of dicts, whose values have `rows` rows.
        function: Takes the dict of one row and returns a tensor.
        rows: The number of rows of every batch.
        shape: Shape of what `function` returns.
        dtype: Type of what `function` returns.
        scalars: Keys of the dict whose values are the same for all rows instead.

    Returns:
        A `tf.data.Dataset` of `(batch, results, done)` with `results` of shape
        `(rows, *shape)` and the bool `done` of shape `(rows,)`.
    """
    import tensorflow as tf

    workers = cpu_count()

    def run(batch):
        shared = {name: batch[name] for name in scalars}
        varying = {name: v for name, v in batch.items() if name not in scalars}
        results = (
            tf.data.Dataset.from_tensor_slices(varying)
            .enumerate()
            .map(
                lambda row, values: (row, function({**shared, **values})),
                num_parallel_calls=workers,
                deterministic=True,
            )
            .ignore_errors()
            .batch(rows)
        )
        none = tf.data.Dataset.from_tensors(
            (tf.zeros((0,), tf.int64), tf.zeros((0, *shape), dtype))
        )
        # Exactly one element, also when no row is left.
        results = results.concatenate(none).take(1)
        return results.map(
            lambda row, done: (batch, *_scattered(row, done, rows, shape))
        )

    return batches.interleave(
        run, cycle_length=2, num_parallel_calls=2, deterministic=True
    )


def _scattered(row, results, rows, shape):
    """Puts the results where they belong, which is where they are if none failed."""
    import tensorflow as tf

    done = tf.scatter_nd(row[:, tf.newaxis], tf.ones_like(row), (rows,)) > 0
    results = tf.cond(
        tf.size(row) == rows,
        lambda: results,
        lambda: tf.scatter_nd(row[:, tf.newaxis], results, (rows, *shape)),
    )
    results.set_shape((rows, *shape))
    return results, done
