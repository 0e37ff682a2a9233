"""Logs for TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_sa.data import ImageData
from keras_sa.recipes.epoch_log import EpochLog
from keras_sa.utils.extras import require_extra

if TYPE_CHECKING:
    import tensorflow as tf

EXAMPLES = 16


class TensorBoardLog(EpochLog):
    """Writes metrics, learning rate, images/s and examples of the network's input.

    Args:
        directory: Where the logs are.
        data: The training images.
        write: Whether this process writes: the chief does.

    Raises:
        ImportError: If TensorBoard is missing.
    """

    def __init__(self, directory: str | Path, data: ImageData, write: bool = True):
        super().__init__(directory, data.batch_size, write)
        require_extra("tensorboard", "tensorboard")
        self.data = data
        self._writer: tf.summary.SummaryWriter | None = None
        self._logged = 0

    def get_state(self) -> int:
        return self._logged

    def set_state(self, state: int) -> None:
        self._logged = state

    def on_train_begin(self, logs=None):
        import tensorflow as tf

        if self.write and self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.directory))
            with self._writer.as_default():
                tf.summary.image("input", self._examples(), 0, max_outputs=EXAMPLES)

    def log(self, epoch, values):
        import tensorflow as tf

        # Not `epoch`, which begins anew when all layers follow the last one.
        self._logged += 1
        if self._writer is None:
            return
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, self._logged)
        self._writer.flush()

    def _examples(self):
        """The first augmented images, stretched to 0..1."""
        import tensorflow as tf

        images = next(iter(self.data.epoch()))[0][:EXAMPLES]
        images = tf.cast(images, tf.float32)
        axes = [1, 2, 3]
        lowest = tf.reduce_min(images, axes, keepdims=True)
        highest = tf.reduce_max(images, axes, keepdims=True)
        return tf.math.divide_no_nan(images - lowest, highest - lowest)
