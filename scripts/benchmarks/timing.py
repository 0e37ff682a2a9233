"""Timing several things side by side, so that their ratio can be trusted."""

import statistics
import time
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")
# A round ends with waiting for the device; the first ones are not counted.
ROUNDS = 6
WARMUP = 2


def interleaved(
    functions: Mapping[Name, Callable[[], object]], repeats: int = 10, warmup: int = 2
) -> dict[Name, list[float]]:
    """Calls every function in turn, round after round, and takes the times.

    A machine's speed drifts; functions that are timed in the same round see the
    same machine.

    Args:
        functions: Name to a function without arguments. It must return only when
            its work is done (for a TensorFlow function: end with `.numpy()`).
        repeats: How many rounds are timed.
        warmup: How many rounds come before, untimed.

    Returns:
        For every name the seconds of each round.
    """
    times: dict[Name, list[float]] = {name: [] for name in functions}
    for index in range(warmup + repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if index >= warmup:
                times[name].append(time.perf_counter() - start)
    return times


def median_ratio(times: list[float], reference: list[float]) -> float:
    """The median over the rounds of one function's time by another's."""
    return statistics.median(a / b for a, b in zip(times, reference, strict=True))


def rounds_of(
    step: Callable[[], Result], wait: Callable[[Result], object], steps: int
) -> tuple[float, float]:
    """Times steps that a device works off behind the program's back.

    Args:
        step: Begins a step.
        wait: Waits for what a step has returned.
        steps: Of a round, which ends with waiting.

    Returns:
        The seconds of the first step, and the median over the rounds of a step's.
    """
    start = time.perf_counter()
    wait(step())
    first = time.perf_counter() - start
    times = []
    for _ in range(WARMUP + ROUNDS):
        start = time.perf_counter()
        for _ in range(steps):
            result = step()
        wait(result)
        times.append((time.perf_counter() - start) / steps)
    return first, statistics.median(times[WARMUP:])
