"""Learning-rate schedules, described in epochs."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class StepDecay:
    """Divides the learning rate by `factor` every `every` epochs."""

    every: int = 30
    factor: float = 10.0

    def build(self, learning_rate: float, epochs: int, steps_per_epoch: int):
        """The `keras.optimizers.schedules.LearningRateSchedule` of a training."""
        drops = range(self.every, epochs, self.every)
        if not drops:
            return learning_rate
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            # The boundary is the last step with the value before it.
            [epoch * steps_per_epoch - 1 for epoch in drops],
            [learning_rate / self.factor**i for i in range(len(drops) + 1)],
        )


@dataclass(frozen=True)
class CosineDecay:
    """Linear warm-up for some epochs, then half a cosine down to zero."""

    warmup_epochs: float = 0.0

    def build(self, learning_rate: float, epochs: int, steps_per_epoch: int):
        """The `keras.optimizers.schedules.LearningRateSchedule` of a training."""
        warmup = round(min(self.warmup_epochs, epochs / 2) * steps_per_epoch)
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else learning_rate,
            decay_steps=epochs * steps_per_epoch - warmup,
            warmup_target=learning_rate if warmup else None,
            warmup_steps=warmup,
        )


@dataclass(frozen=True)
class DropAfter:
    """Divides the learning rate by `factor` after each of the `epochs`.

    In the first `warmup_steps` it rises linearly to its value. A training that is
    made longer goes on as if it had been so from the beginning.
    """

    epochs: tuple[int, ...] = (8, 11)
    factor: float = 10.0
    warmup_steps: int = 0

    def build(self, learning_rate: float, epochs: int, steps_per_epoch: int):
        """The `keras.optimizers.schedules.LearningRateSchedule` of a training."""
        drops = [epoch for epoch in self.epochs if epoch < epochs]
        return WarmedUpDrops(
            learning_rate,
            [epoch * steps_per_epoch for epoch in drops],
            self.factor,
            self.warmup_steps,
        )


@keras.saving.register_keras_serializable(package="keras_sa")
class WarmedUpDrops(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to a learning rate, which is divided at some steps.

    Args:
        learning_rate: After the rise.
        drops: The steps from which on it is divided once more.
        factor: What it is divided by.
        warmup_steps: Length of the rise; 0 for none.
    """

    def __init__(
        self,
        learning_rate: float,
        drops: list[int],
        factor: float = 10.0,
        warmup_steps: int = 0,
    ):
        super().__init__()
        self.options: dict[str, Any] = {
            "learning_rate": learning_rate,
            "drops": list(drops),
            "factor": factor,
            "warmup_steps": warmup_steps,
        }

    def __call__(self, step):
        options = self.options
        step = keras.ops.cast(step, "float32")
        rate = options["learning_rate"]
        for drop in options["drops"]:
            rate = keras.ops.where(step >= drop, rate / options["factor"], rate)
        rise = (step + 1) / max(options["warmup_steps"], 1)
        return rate * keras.ops.minimum(rise, 1.0)

    def get_config(self):
        return self.options
