"""Trained networks as fast and portable as they can be."""

from keras_sa.serving.export import export
from keras_sa.serving.limits import ImageLimits

__all__ = ["ImageLimits", "export"]
