"""The optimizer of the published recipe."""

from typing import Any

import keras
from keras import ops

from keras_sa.layers.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="keras_sa")
class L2SGD(keras.optimizers.SGD):
    """SGD with momentum, and L2 regularisation added to every gradient.

    With `g = gradient + l2 * weight` the update is
    `velocity = momentum * velocity + g`, `weight -= learning_rate * velocity`: the
    SGD of PyTorch, whose `weight_decay` is the `l2` here, and of the published
    recipe. `keras.optimizers.SGD` differs twice: its `weight_decay` is decoupled
    from the gradient, and its velocity holds the learning rate of each step, so that
    a drop of the learning rate is felt only after some steps.

    Args:
        learning_rate: A float or a `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: In 0..1.
        l2: What each weight is multiplied by before it is added to its gradient,
            after any clipping. All trainable weights have it, also biases and the
            weights of batch norms, as published.
        nesterov: Whether to look ahead by `momentum * velocity`.
        name: Name of the optimizer.
        **kwargs: Arguments of `keras.optimizers.Optimizer`, such as `clipnorm` and
            `use_ema`.

    Raises:
        ValueError: If `l2` is negative or `weight_decay` is given.

    Example:

    >>> optimizer = L2SGD(learning_rate=0.1, momentum=0.9, l2=1e-4)
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.1,
        momentum: float = 0.9,
        l2: float = 1e-4,
        nesterov: bool = False,
        name: str = "l2_sgd",
        **kwargs: Any,
    ) -> None:
        if l2 < 0:
            raise ValueError(f"`l2` must be at least 0. Received: l2={l2}")
        if kwargs.get("weight_decay"):
            raise ValueError(
                "`weight_decay`, decoupled from the gradient, is not what `L2SGD` is "
                "for: use `l2` or `keras.optimizers.SGD`. "
                f"Received: weight_decay={kwargs['weight_decay']}"
            )
        super().__init__(
            learning_rate, momentum=momentum, nesterov=nesterov, name=name, **kwargs
        )
        self.l2 = l2

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor | float
    ) -> None:
        learning_rate = ops.cast(learning_rate, variable.dtype)
        step = ops.add(ops.cast(gradient, variable.dtype), self.l2 * variable)
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            self.assign(velocity, self.momentum * velocity + step)
            step = step + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, learning_rate * step)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}
