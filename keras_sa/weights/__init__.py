"""Where weights come from: files of every format, and their verified download."""

from keras_sa.weights.checkpoint import LoadReport
from keras_sa.weights.checkpoint import load_checkpoint

__all__ = [
    "LoadReport",
    "load_checkpoint",
]
