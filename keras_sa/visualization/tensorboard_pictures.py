"""Explanations of some images in TensorBoard, while a network learns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_sa.utils.extras import require_extra
from keras_sa.visualization.canvas import EXTRA
from keras_sa.visualization.canvas import figure_pixels
from keras_sa.visualization.explanation import check_class_names
from keras_sa.visualization.explanation import explain
from keras_sa.visualization.explanation import explanation_figure

if TYPE_CHECKING:
    import tensorflow as tf


class TensorBoardPictures(keras.callbacks.Callback):
    """Writes `explanation_figure`s of the same images again and again.

    Args:
        directory: Where the logs are.
        images: A batch as the model takes it; some are enough.
        class_names: The names of the classes. Defaults to their numbers.
        every: After how many epochs.
        dpi: The pictures' resolution.
        write: Whether this process writes: the chief does.
        multi_label: As for `explain`.

    Raises:
        ImportError: If TensorBoard or matplotlib is missing.
        ValueError: If `every` is less than 1; at the start of the training, if there
            are fewer names than classes.

    Example:

    ```python
    pictures = TensorBoardPictures("logs", images[:4], data.class_names, every=5)
    model.fit(data.dataset(), epochs=20, callbacks=[pictures])
    ```
    """

    def __init__(
        self,
        directory: str | Path,
        images: np.ndarray,
        class_names: Sequence[str] | None = None,
        every: int = 1,
        dpi: int = 80,
        write: bool = True,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        require_extra("tensorboard", "tensorboard")
        require_extra("matplotlib", EXTRA)
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: every={every}")
        self.directory = Path(directory)
        self.images = np.asarray(images)
        self.class_names = class_names
        self.every = every
        self.dpi = dpi
        self.write = write
        self.multi_label = multi_label
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if self.class_names is not None:
            shape = self.model.compute_output_shape((1, *self.images.shape[1:]))
            check_class_names(self.class_names, shape[-1])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        import tensorflow as tf

        if not self.write or (epoch + 1) % self.every:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.directory))
        with self._writer.as_default():
            for number, image in enumerate(self.images):
                explanation = explain(self.model, image, multi_label=self.multi_label)
                figure = explanation_figure(
                    explanation, self.class_names, f"epoch {epoch + 1}"
                )
                pixels = figure_pixels(figure, self.dpi)[np.newaxis]
                tf.summary.image(f"explanation/{number}", pixels, epoch + 1)
        self._writer.flush()
