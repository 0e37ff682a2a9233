"""Training that gives the same result on one device, on many and after a kill."""

from keras_sa.training.prepare import prepare

__all__ = ["prepare"]
