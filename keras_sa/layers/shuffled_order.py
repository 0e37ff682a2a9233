"""The order in which the channel shuffle leaves the channels."""

import numpy as np


def shuffled_order(channels: int) -> np.ndarray:
    """The channel that the shuffle puts at each position: 0, C/2, 1, C/2 + 1, ..."""
    return np.arange(channels).reshape(2, -1).T.ravel()
