"""What every log of a training takes of an epoch."""

import time
from pathlib import Path

import keras


class EpochLog(keras.callbacks.Callback):
    """Times the epochs' training, without their validation, and logs each.

    Args:
        directory: Where the log is.
        batch_size: The global batch.
        write: Whether this process writes: the chief does.
    """

    def __init__(self, directory: str | Path, batch_size: int, write: bool = True):
        super().__init__()
        self.directory = Path(directory)
        self.batch_size = batch_size
        self.write = write

    def log(self, epoch: int, values: dict[str, float]) -> None:
        """Logs an epoch.

        Args:
            epoch: Its number, counted from 0.
            values: The learning rate of the next step, the seconds, the images/s and
                all of Keras' logs.
        """
        raise NotImplementedError

    def on_epoch_begin(self, epoch, logs=None):
        self._started = self._ended = time.perf_counter()
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        self._ended = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = self._ended - self._started
        images = self._steps * self.model.steps_per_execution * self.batch_size
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.log(
            epoch,
            {
                "learning_rate": float(rate),
                "seconds": round(seconds, 3),
                "images_per_second": round(images / seconds, 2) if seconds else 0.0,
                **(logs or {}),
            },
        )
