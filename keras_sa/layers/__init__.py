"""Attention layers: image maps in, maps of the same shape out."""

from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.bam import BAM
from keras_sa.layers.batch_normalization import BatchNormalization
from keras_sa.layers.cbam import CBAM
from keras_sa.layers.efficient_channel_attention import EfficientChannelAttention
from keras_sa.layers.registry import attention_names
from keras_sa.layers.registry import get_attention
from keras_sa.layers.registry import register_attention
from keras_sa.layers.shuffle_attention import ShuffleAttention
from keras_sa.layers.spatial_group_enhance import SpatialGroupEnhance
from keras_sa.layers.squeeze_excitation import SqueezeExcitation

__all__ = [
    "BAM",
    "CBAM",
    "AttentionLayer",
    "BatchNormalization",
    "EfficientChannelAttention",
    "ShuffleAttention",
    "SpatialGroupEnhance",
    "SqueezeExcitation",
    "attention_names",
    "get_attention",
    "register_attention",
]
