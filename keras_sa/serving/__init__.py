"""Trained networks as fast and portable as they can be."""

from keras_sa.serving.export import export
from keras_sa.serving.formats import convert
from keras_sa.serving.fuse import FusionReport
from keras_sa.serving.fuse import fuse
from keras_sa.serving.limits import ImageLimits
from keras_sa.serving.precision import with_precision

__all__ = [
    "FusionReport",
    "ImageLimits",
    "convert",
    "export",
    "fuse",
    "with_precision",
]
