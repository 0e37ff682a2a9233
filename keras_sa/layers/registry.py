"""Attention layers by name, so that a network is a table row."""

from dataclasses import dataclass
from typing import Literal

from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.bam import BAM
from keras_sa.layers.cbam import CBAM
from keras_sa.layers.efficient_channel_attention import EfficientChannelAttention
from keras_sa.layers.shuffle_attention import ShuffleAttention
from keras_sa.layers.spatial_group_enhance import SpatialGroupEnhance
from keras_sa.layers.squeeze_excitation import SqueezeExcitation


@dataclass(frozen=True)
class Attention:
    """An attention layer and its place in a ResNet.

    Args:
        layer: The layer class.
        placement: `"block"`: in every bottleneck, after the last batch norm and
            before the addition. `"stage"`: once after a stage.
    """

    layer: type[AttentionLayer]
    placement: Literal["block", "stage"] = "block"


ATTENTIONS: dict[str, Attention] = {
    "sa": Attention(ShuffleAttention),
    "se": Attention(SqueezeExcitation),
    "cbam": Attention(CBAM),
    "bam": Attention(BAM, placement="stage"),
    "sge": Attention(SpatialGroupEnhance),
    "eca": Attention(EfficientChannelAttention),
}


def attention_names() -> tuple[str, ...]:
    """The names that `attention=` takes, in the order of registration."""
    return tuple(ATTENTIONS)


def get_attention(name: str) -> Attention:
    """The registered attention of this name.

    Raises:
        ValueError: If there is none; the message lists the known names.
    """
    if name not in ATTENTIONS:
        raise ValueError(
            f"`attention` must be None or one of {list(ATTENTIONS)}. "
            f"Received: attention={name!r}"
        )
    return ATTENTIONS[name]


def register_attention(
    name: str,
    layer: type[AttentionLayer],
    placement: Literal["block", "stage"] = "block",
) -> None:
    """Makes a layer class available as `attention=name`.

    Args:
        name: A name that is not taken.
        layer: An `AttentionLayer` class whose `__init__` takes `data_format`,
            `name` and its own options as keyword arguments.
        placement: Where in a ResNet it goes, see `Attention`.

    Raises:
        ValueError: If the name is taken or the placement is unknown.
    """
    if name in ATTENTIONS:
        raise ValueError(
            f"The attention name {name!r} is taken by {ATTENTIONS[name].layer}."
        )
    if placement not in ("block", "stage"):
        raise ValueError(
            f'`placement` must be "block" or "stage". Received: placement={placement!r}'
        )
    ATTENTIONS[name] = Attention(layer, placement)
