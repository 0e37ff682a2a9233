"""Where weights come from: files of every format, and their verified download."""

from keras_sa.weights.checkpoint import LoadReport
from keras_sa.weights.checkpoint import load_checkpoint
from keras_sa.weights.initialize import initialize_weights
from keras_sa.weights.install import install_weights
from keras_sa.weights.registry import WEIGHTS
from keras_sa.weights.weight_export import export_torch
from keras_sa.weights.weight_export import export_weights

__all__ = [
    "WEIGHTS",
    "LoadReport",
    "export_torch",
    "export_weights",
    "initialize_weights",
    "install_weights",
    "load_checkpoint",
]
