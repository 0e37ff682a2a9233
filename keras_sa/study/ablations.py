"""Shuffle attention with a part left out, for studies of what the part is good for."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sa.layers import ShuffleAttention
from keras_sa.layers import attention_names
from keras_sa.layers import register_attention
from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.layers.tensor_types import Tensor

ABLATED = "sa_ablated"
# The sigmoid of it is 1 in float32: the gate is open.
OPEN = 30.0


@keras.saving.register_keras_serializable(package="keras_sa")
class AblatedShuffleAttention(ShuffleAttention):
    """Shuffle attention without one of its parts.

    It has all weights of `ShuffleAttention`; those of the missing part do nothing.

    Args:
        without: `"norm"`: the spatial branch takes the map as it is.
            `"channel_branch"` or `"spatial_branch"`: its half of the channels is
            not gated.
        **kwargs: See `ShuffleAttention`.

    Raises:
        ValueError: If there is no such part.
    """

    PARTS = ("norm", "channel_branch", "spatial_branch")

    def __init__(self, without: str, **kwargs: Any) -> None:
        if without not in self.PARTS:
            raise ValueError(
                f"`without` must be one of {self.PARTS}. Received: without={without!r}"
            )
        super().__init__(**kwargs)
        self.without = without

    def gate_parameters(self, dtype: str) -> tuple[Tensor, Tensor, Tensor]:
        a, b, c = super().gate_parameters(dtype)
        if self.without == "norm":
            return a, b, c
        channels = a.shape[self.channel_axis]
        size = channels // (2 * self.groups)
        missing = 0 if self.without == "channel_branch" else 1
        # Where a channel was before the two halves were interleaved.
        position = (shuffled_order if self.pre_shuffled else np.arange)(channels)
        open_ = self.along_channels(position // size % 2 == missing)
        zeros = ops.zeros_like(a)
        return (
            ops.where(open_, zeros, a),
            ops.where(open_, zeros, b),
            ops.where(open_, zeros + OPEN, c),
        )

    def _scale_and_level(self, mean, variance, a, b, c):
        if self.without != "norm":
            return super()._scale_and_level(mean, variance, a, b, c)
        return a, mean * (a + b) + c

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "without": self.without}


def register_ablations() -> None:
    """Makes the layer known to `AttentionResNet` as `"sa_ablated"`."""
    if ABLATED not in attention_names():
        register_attention(ABLATED, AblatedShuffleAttention)
