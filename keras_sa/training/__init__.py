"""Training that gives the same result on one device, on many and after a kill."""

from keras_sa.training.cluster.strategy import make_strategy
from keras_sa.training.fitting import fit
from keras_sa.training.l2_sgd import L2SGD
from keras_sa.training.preemption import EXIT_PREEMPTED
from keras_sa.training.preemption import Preempted
from keras_sa.training.prepared_model import prepare

__all__ = [
    "EXIT_PREEMPTED",
    "L2SGD",
    "Preempted",
    "fit",
    "make_strategy",
    "prepare",
]
