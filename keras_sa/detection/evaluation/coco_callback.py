"""COCO's metrics after the epochs of a training."""

import keras

from keras_sa.data.coco import DetectionData
from keras_sa.detection.evaluation.coco_evaluation import evaluate
from keras_sa.detection.evaluation.coco_metrics import backend_classes


class COCOMetrics(keras.callbacks.Callback):
    """Adds `val_box_ap` and the other metrics of `evaluate` to an epoch's logs.

    Put it in front of callbacks that read them, such as `ModelCheckpoint`.

    Args:
        data: See `evaluate`.
        every: After how many epochs each.
        backend: See `coco_metrics`.

    Raises:
        ImportError: If the backend is not installed.
        ValueError: If `every` is less than 1 or there is no such backend.

    Example:

    ```python
    model.fit(training, epochs=12, callbacks=[COCOMetrics(validation)])
    ```
    """

    def __init__(
        self, data: DetectionData, every: int = 1, backend: str = "pycocotools"
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: every={every}")
        backend_classes(backend)  # refused before an epoch is trained
        self.data = data
        self.every = every
        self.backend = backend

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if (epoch + 1) % self.every == 0:
            found = evaluate(self.model, self.data, backend=self.backend)
            logs.update({f"val_{name}": value for name, value in found.items()})
