"""Whether XLA compiles what a replica computes."""

import keras

from keras_sa import keras_hooks
from keras_sa.training.cluster.strategy import is_chief
from keras_sa.training.replica_batch import FullBatch

STEPS = {"train": "training", "test": "evaluation", "predict": "prediction"}


class Compilation:
    """Decides for the steps of a model, and says so once.

    Args:
        model: A compiled model.
        jit_compile: Whether to compile; `"auto"` does on GPUs, and where the model
            was compiled with `jit_compile=True`.
        synchronized: Whether batch norms take their statistics over all replicas.

    Attributes:
        batch_size: The global batch of the training, if known: a training that goes
            on in the middle of an epoch may begin with a shorter one.
    """

    def __init__(
        self,
        model: keras.Model,
        jit_compile: bool | str = "auto",
        synchronized: bool = True,
    ):
        import tensorflow as tf

        self.model = model
        self.jit_compile = jit_compile
        self.synchronized = synchronized
        self.full = {kind: FullBatch() for kind in STEPS}
        self.batch_size: int | None = None
        self._said: set[str] = set()
        with model.distribute_strategy.scope():
            # If only of one replica.
            self.distributed = tf.distribute.has_strategy()

    def begin(self, kind: str) -> None:
        """Called when a `fit`, an `evaluate` or a `predict` begins."""
        rows = 1
        if kind == "train" and self.batch_size:
            rows = (
                self.batch_size // self.model.distribute_strategy.num_replicas_in_sync
            )
        self.full[kind].begin(rows)

    @property
    def wanted(self) -> bool:
        model = self.model
        if model.run_eagerly or self.jit_compile is False:
            return False
        return self.jit_compile is True or model.jit_compile or self._automatic()

    def _automatic(self):
        if not self.distributed:
            # Keras resolved "auto" itself when the model was compiled.
            return False
        devices = self.model.distribute_strategy.extended.worker_devices
        return all("GPU" in device for device in devices)

    def reason_against(self) -> str | None:
        """Why no step can be compiled; `None` if they can."""
        layers = keras_hooks.layers_without_jit(self.model)
        if layers:
            return f"XLA can't compile {_listed(layers)}"
        layers = [
            layer.name
            for layer in keras_hooks.layers_of(self.model, keras.layers.Layer)
            if layer.activity_regularizer is not None
        ]
        if layers:
            return (
                f"the activity regularizers of {_listed(layers)} can't leave out the "
                "rows that pad a batch"
            )
        return None

    def in_parts(self, kind: str) -> bool:
        """Whether batch norms sum over all replicas in the middle of a step.

        XLA then compiles what lies between the sums.
        """
        norms = keras_hooks.layers_of(self.model, keras.layers.BatchNormalization)
        several = self.model.distribute_strategy.num_replicas_in_sync > 1
        sums = kind == "train" and self.synchronized and several
        return sums and any(norm.trainable for norm in norms)

    def uses_xla(self) -> bool:
        """Whether steps are compiled."""
        return self.wanted and self.reason_against() is None

    def decide(self, kind: str) -> bool:
        """Like `uses_xla`, and says what is done with a step.

        Args:
            kind: `"train"`, `"test"` or `"predict"`.
        """
        if not self.wanted:
            return False
        reason = self.reason_against()
        if reason is None:
            where = (
                ", between the sums of its batch norms" if self.in_parts(kind) else ""
            )
            self.say(
                f"Compiling the {STEPS[kind]} step of {self.model.name!r} with "
                f"XLA{where}; a large network takes about a minute on a GPU."
            )
            return True
        self.say_not(kind, reason)
        return False

    def say_not(self, kind: str, reason: str) -> None:
        """Says that a step is not compiled, and why."""
        self.say(
            f"The {STEPS[kind]} step of {self.model.name!r} is not compiled by XLA: "
            f"{reason}."
        )

    def say(self, line: str) -> None:
        """Prints a line, once."""
        if line not in self._said and is_chief(self.model.distribute_strategy):
            print(line, flush=True)
        self._said.add(line)


def _listed(names):
    more = "" if len(names) < 4 else f" and {len(names) - 3} more"
    return f"{', '.join(names[:3])}{more}"
