"""Training that gives the same result on one device, on many and after a kill."""

from keras_sa.training.l2_sgd import L2SGD
from keras_sa.training.prepare import prepare
from keras_sa.training.strategy import make_strategy

__all__ = ["L2SGD", "make_strategy", "prepare"]
