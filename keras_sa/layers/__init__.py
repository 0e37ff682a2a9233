"""Attention layers: image maps in, maps of the same shape out."""

from keras_sa.layers.attention_layer import AttentionLayer
from keras_sa.layers.registry import attention_names
from keras_sa.layers.registry import get_attention
from keras_sa.layers.registry import register_attention
from keras_sa.layers.shuffle_attention import ShuffleAttention

__all__ = [
    "AttentionLayer",
    "ShuffleAttention",
    "attention_names",
    "get_attention",
    "register_attention",
]
