"""Detections in image files."""

from pathlib import Path

import keras
import numpy as np

from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.detection_data import prepared_image
from keras_sa.data.decoding import decode
from keras_sa.data.decoding import decoder_message
from keras_sa.detection.evaluation.coco_evaluation import predict_function
from keras_sa.detection.evaluation.coco_results import coco_results


class ImagePrediction:
    """Finds objects in image files.

    Args:
        model: A detector.
        settings: How its images are prepared, see `load_detector`.
    """

    def __init__(self, model: keras.Model, settings: dict):
        self.settings = settings
        self._predict = predict_function(model)

    def __call__(
        self, file: str | Path, threshold: float = 0.0
    ) -> tuple[np.ndarray, list[dict]]:
        """The objects in an image.

        Args:
            file: The image file.
            threshold: The lowest score.

        Returns:
            The image as a person sees it, whatever its EXIF orientation, uint8
            `(height, width, 3)`, and dicts with `class`, `score`,
            `bbox` (x, y, width, height in its pixels) and, where there are masks,
            `segmentation` (an RLE).

        Raises:
            ValueError: If it can't be read or decoded.
        """
        import tensorflow as tf

        settings = self.settings
        try:
            image = decode(tf.constant(Path(file).read_bytes()))
        except OSError as error:
            raise ValueError(f"Can't read {str(file)!r}: {error.strerror}") from error
        except tf.errors.OpError as error:
            raise ValueError(
                f"Can't decode {str(file)!r} as an image: {decoder_message(error)}"
            ) from error
        prepared, resized = prepared_image(
            image, settings["sides"], settings["mean"], settings["std"]
        )
        predicted = self._predict(prepared[tf.newaxis])
        found = {name: np.asarray(value)[0] for name, value in predicted.items()}
        results = coco_results(
            found,
            Image(0, str(file), *image.shape[:2]),
            tuple(resized.numpy()),
            tuple(range(len(settings["class_names"]))),
        )
        objects = []
        for result in results:
            if result["score"] >= threshold:
                name = settings["class_names"][result["category_id"]]
                kept = ("score", "bbox", "segmentation")
                objects.append(
                    {"class": name}
                    | {key: result[key] for key in kept if key in result}
                )
        return image.numpy(), objects
