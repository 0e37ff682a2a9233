"""A training with its position, from which it can be saved and resumed."""

import signal
from pathlib import Path

import keras

from keras_sa.training.cluster.strategy import is_chief
from keras_sa.training.cluster.workers import Workers
from keras_sa.training.preemption import Preempted
from keras_sa.training.resuming import callback_state
from keras_sa.training.resuming import snapshot
from keras_sa.training.resuming.differences import differences
from keras_sa.training.resuming.generations import Generations
from keras_sa.training.resuming.snapshot import Position


class Run:
    """One training, over all its restarts.

    Args:
        model: A compiled, built and prepared model.
        steps_per_epoch: If known.
        directory: Where its state is saved, or `None` for nowhere.
        described: What must be the same when it goes on, see `describe`.
        resume_learning_rate: See `fit`.

    Attributes:
        position: How far it is.
        finished: Whether it was stopped early and has come to its end.
        callbacks: A `keras.callbacks.CallbackList`, to be set before `begin`.
    """

    def __init__(
        self,
        model: keras.Model,
        steps_per_epoch: int | None,
        directory: str | Path | None,
        described: dict,
        resume_learning_rate: bool = True,
    ):
        self.model = model
        self.steps_per_epoch = steps_per_epoch
        self.generations = None if directory is None else Generations(directory)
        self.workers = Workers(model.distribute_strategy)
        self.chief = is_chief(model.distribute_strategy)
        self.described = described
        self.resume_learning_rate = resume_learning_rate
        self.position = Position()
        self.finished = False
        self.callbacks: keras.callbacks.CallbackList = None
        self._saved_callbacks: tuple[list[dict], dict] | None = None
        self._saved: Position | None = None
        self._held = None

    def load(self) -> None:
        """Goes to where the last saved state is, if there is one.

        Raises:
            ValueError: If the state is of another training.
            OSError: If it is damaged or not the same for all workers.
        """
        if self.generations is None:
            return
        found = self.generations.read()
        number = found[1]["number"] if found else 0
        if not self.workers.agree(number):
            raise OSError(
                "The workers see different saved states: the directory must be on a "
                f"file system that they share. Received: state {number} in "
                f"{self.generations.directory}"
            )
        if found is None:
            return
        arrays, metadata = found
        snapshot.check(self.model, metadata, self.steps_per_epoch)
        self._check_described(metadata.get("described"), self.generations.directory)
        said = snapshot.restore(self.model, arrays, metadata, self.resume_learning_rate)
        if said and self.chief:
            print(said, flush=True)
        self.position = self._saved = snapshot.position_of(metadata)
        self.finished = metadata["finished"]
        callback_arrays = {
            k: v for k, v in arrays.items() if k.startswith("callbacks/")
        }
        self._saved_callbacks = metadata["callbacks"], callback_arrays

    def _check_described(self, before, directory):
        # States of earlier versions don't have it.
        found = differences(before, self.described) if before else []
        if found:
            raise ValueError(
                f"{str(directory)!r} holds the state of another "
                f"training: {'; '.join(found)}. Give the same arguments to go on, or "
                "another directory for another training."
            )

    def begin(self) -> None:
        """Tells the callbacks that training begins, and what they were before."""
        self.callbacks.on_train_begin()
        if self._saved_callbacks is not None:
            callback_state.restore(self.callbacks.callbacks, *self._saved_callbacks)

    def epoch(self, epoch: int, batches, after_step) -> dict:
        """Trains on the rest of an epoch.

        Args:
            epoch: The epoch's number.
            batches: A `Batches`.
            after_step: Called after each execution with the number of the epoch's
                steps that were done before it.

        Returns:
            The epoch's logs.
        """
        import tensorflow as tf

        model = self.model
        self.callbacks.on_epoch_begin(epoch)
        step = self.position.step
        if step == 0:
            model.reset_metrics()
        total = self.steps_per_epoch
        iterator = batches.epoch(epoch, step) if total is None or step < total else None
        while (total is None or step < total) and not model.stop_training:
            self.callbacks.on_train_batch_begin(step)
            try:
                logs = model.train_function(iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                break
            before, step = step, step + model.steps_per_execution
            if total is not None:
                step = min(step, total)
            self.callbacks.on_train_batch_end(step - 1, logs)
            self.position = Position(epoch, step)
            after_step(before)
        if step == 0:
            raise ValueError(f"The data has no batches. Received: epoch={epoch}")
        return {
            name: float(value) for name, value in model.get_metrics_result().items()
        }

    def validate(self, batches) -> dict:
        """Evaluates the model, in the middle of which it can be told to stop.

        Args:
            batches: A `Batches`.

        Returns:
            The logs.
        """
        # An evaluation changes metrics, and some callbacks exchange the weights.
        self._held = None if self.generations is None else self._state()
        found = self.model.evaluate(
            batches.all(),
            steps=batches.steps_per_epoch,
            # The callbacks' list is what `model.fit` hands over, too.
            callbacks=self.callbacks,
            return_dict=True,
        )
        self._held = None
        return {f"val_{name}": value for name, value in found.items()}

    def save(self) -> None:
        """Saves the state, unless this position is saved already.

        During a validation, the state before it.
        """
        if self.generations is None or self._saved == self.position:
            return
        arrays, metadata = self._held or self._state()
        if self.chief:
            metadata |= {"finished": self.finished, "described": self.described}
            self.generations.write(arrays, metadata)
        self._saved = self.position

    def _state(self):
        return snapshot.take(
            self.model, self.callbacks.callbacks, self.position, self.steps_per_epoch
        )

    def stop_if_told(self, told: bool) -> None:
        """Ends the program if this or another worker was told to stop.

        Raises:
            Preempted: If so, when the state is saved.
            SystemExit: If so, and there is no directory for it.
        """
        if not self.workers.any(told):
            return
        if self.generations is None:
            raise SystemExit(128 + signal.SIGTERM)
        self.save()
        stopped = Preempted(
            f"Stopped in epoch {self.position.epoch} after {self.position.step} steps; "
            f"the state is in {self.generations.directory}."
        )
        if self.chief:
            print(stopped, flush=True)
        raise stopped
