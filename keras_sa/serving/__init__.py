"""Trained networks as fast and portable as they can be."""

from keras_sa.serving.export import export
from keras_sa.serving.fuse import FusionReport
from keras_sa.serving.fuse import fuse
from keras_sa.serving.limits import ImageLimits

__all__ = ["FusionReport", "ImageLimits", "export", "fuse"]
