"""Means over seeds with their uncertainty."""

import math
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from keras_sa.utils.extras import require_extra


@dataclass(frozen=True)
class Interval:
    """A mean and half the width of its confidence interval.

    Args:
        mean: The mean over the runs.
        half_width: NaN if there is only one run.
        runs: How many runs.
    """

    mean: float
    half_width: float
    runs: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of zero."""
        return abs(self.mean) > self.half_width


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of independent runs and its Student-t interval.

    Args:
        values: One result for each run, at least one.
        confidence: The part of such intervals that hold the true mean, if the
            results are normally distributed.

    Raises:
        ValueError: If there are no values or the confidence is not in 0..1.
    """
    if not values or not 0 < confidence < 1:
        raise ValueError(
            "`values` must not be empty and `confidence` lies between 0 and 1. "
            f"Received: {len(values)} values, confidence={confidence}"
        )
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Interval(mean, math.nan, 1)
    student_t = require_extra("scipy.stats", "study").t
    quantile = float(student_t.ppf((1 + confidence) / 2, len(values) - 1))
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, quantile * error, len(values))


def paired_difference(
    results: Mapping[int, float], reference: Mapping[int, float]
) -> Interval | None:
    """The mean difference of runs that share their seed, and so their images' order.

    Args:
        results: Seed to result.
        reference: Seed to the result that is subtracted.

    Returns:
        The interval over the seeds that both have, `None` without any.
    """
    seeds = sorted(results.keys() & reference.keys())
    if not seeds:
        return None
    return mean_interval([results[seed] - reference[seed] for seed in seeds])
