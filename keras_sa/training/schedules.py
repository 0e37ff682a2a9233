"""Learning-rate schedules, described in epochs."""

from dataclasses import dataclass

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
