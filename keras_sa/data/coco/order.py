"""Which image is where in which batch: a function of seed and epoch."""

import numpy as np


def epoch_order(epoch: int, seed: int, wide: np.ndarray, batch_size: int) -> np.ndarray:
    """The order of a training epoch.

    Every epoch is random, in batches of wide or of high images, which need less
    padding. What is left of the two kinds shares batches. Where the last batch is not
    full, it is filled up with the epoch's first images.

    Args:
        epoch: The epoch, from 0.
        seed: Of the order.
        wide: bool `(images,)`: whether an image is at least as wide as high.
        batch_size: The global batch.

    Returns:
        int64 `(steps * batch_size,)`: indices of images.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(wide))
    batches, rest = [], []
    for kind in (True, False):
        alike = shuffled[wide[shuffled] == kind]
        full = len(alike) // batch_size * batch_size
        batches.extend(alike[:full].reshape(-1, batch_size))
        rest.extend(alike[full:])
    if rest:
        steps = -(-len(rest) // batch_size)
        filled = np.concatenate([rest, np.resize(shuffled, steps * batch_size)])
        batches.extend(filled[: steps * batch_size].reshape(-1, batch_size))
    order = random.permutation(len(batches))
    return np.concatenate([batches[number] for number in order]).astype("int64")
