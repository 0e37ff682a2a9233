"""Random numbers that are a function of what they are for."""

import keras

# Different uses of one example's randomness must not share a stream.
ORDER, CROP, LAYERS, MIXING = range(4)
# An epoch has fewer examples (or groups of rows) than this.
_PER_EPOCH = 2**40


def seed_for(purpose: int, seed: int, epoch, index):
    """The seed of one use: for `tf.random.stateless_*`.

    Args:
        purpose: One of `ORDER`, `CROP`, `LAYERS`, `MIXING`.
        seed: The data's seed, in 0..2**32 - 1.
        epoch: The epoch, an int64 scalar tensor.
        index: Which one in the epoch (an example's index or a step), below 2**40.

    Returns:
        An int64 tensor `(2,)`.
    """
    import tensorflow as tf

    key = tf.constant((purpose << 32) | seed, tf.int64)
    return tf.stack([key, epoch * _PER_EPOCH + tf.cast(index, tf.int64)])


class StatelessSeeds(keras.random.SeedGenerator):
    """A seed generator without a state, for Keras' random layers inside `tf.data`.

    The ordinary generator counts in a variable: in a parallel `map` the images race
    for its values, and a resumed run starts it anew. This one is made for every
    image (or batch) and gives the seeds that belong to it. Pass it as `seed` to
    `layer.get_random_transformation`.

    Args:
        seed: What `seed_for` returns.
        count: Where to begin; two generators with one seed need ranges of their own.
    """

    def __init__(self, seed, count: int = 0):
        # Without super().__init__(): that would create the variable.
        self._seed = seed
        self._count = count

    def next(self, ordered=True):
        import tensorflow as tf

        self._count += 1
        # Keras reduces 64-bit seeds to 31 bits by a remainder, which would let
        # neighbouring epochs share seeds. These are 32-bit already.
        return tf.random.stateless_uniform(
            (2,),
            self._seed + tf.constant([self._count << 48, 0], tf.int64),
            minval=None,
            maxval=None,
            dtype=tf.int32,
            alg="philox",
        )
