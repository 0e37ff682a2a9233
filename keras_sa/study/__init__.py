"""Comparing networks over several seeds: arms, run tables, intervals, reports."""

from keras_sa.study.ablations import AblatedShuffleAttention
from keras_sa.study.ablations import register_ablations
from keras_sa.study.arms import ABLATIONS
from keras_sa.study.arms import MODULES
from keras_sa.study.arms import Arm
from keras_sa.study.arms import get_arm
from keras_sa.study.repeated_training import RepeatedTraining
from keras_sa.study.report import write_report
from keras_sa.study.run_table import RunTable
from keras_sa.study.statistics import Interval
from keras_sa.study.statistics import mean_interval
from keras_sa.study.statistics import paired_difference

__all__ = [
    "ABLATIONS",
    "MODULES",
    "AblatedShuffleAttention",
    "Arm",
    "Interval",
    "RepeatedTraining",
    "RunTable",
    "get_arm",
    "mean_interval",
    "paired_difference",
    "register_ablations",
    "write_report",
]
