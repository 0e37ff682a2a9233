"""What several parts of the library need."""

from keras_sa.utils.flops import count_flops

__all__ = ["count_flops"]
