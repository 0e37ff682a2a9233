"""Training one network from many seeds at the price of one tracing."""

from collections.abc import Callable
from typing import Any

import keras


class RepeatedTraining:
    """A compiled network that can begin again from any seed.

    TensorFlow traces a network when it is first trained, which for a small one takes
    longer than the training. Here the network stays, and only its weights and its
    optimizer go back to the start.

    Args:
        build: Makes the network, with random weights from Keras' global seed. It may
            hold no layers that draw numbers while they train, such as dropout.
        optimizer: Makes its optimizer.
        **options: Of `compile`.
    """

    def __init__(
        self,
        build: Callable[[], keras.Model],
        optimizer: Callable[[], keras.optimizers.Optimizer],
        **options: Any,
    ) -> None:
        self._build = build
        self._model = build()
        self._optimizer = optimizer()
        self._optimizer.build(self._model.trainable_variables)
        self._start = [variable.numpy() for variable in self._optimizer.variables]
        self._model.compile(self._optimizer, **options)

    def begin(self, seed: int) -> keras.Model:
        """The network with the weights that a new one gets after this seed."""
        keras.utils.set_random_seed(seed)
        self._model.set_weights(self._build().get_weights())
        for variable, value in zip(self._optimizer.variables, self._start, strict=True):
            variable.assign(value)
        return self._model
