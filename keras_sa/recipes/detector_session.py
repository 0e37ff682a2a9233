"""A detector's training on a machine: from the data to a model in a directory."""

import json
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_sa.data.coco import DetectionData
from keras_sa.detection.evaluation.coco_callback import COCOMetrics
from keras_sa.recipes.detector_recipes import DetectorRecipe
from keras_sa.recipes.training_session import TrainingSession
from keras_sa.recipes.training_session import load_finished


@dataclass(frozen=True)
class DetectorSession(TrainingSession):
    """The training of a detector.

    Args:
        recipe: How to train.
        data: The training images.
        validation: COCO's metrics are taken on it.
        validate_every: After how many epochs each.
        backend: See `coco_metrics`.
        **kwargs: See `TrainingSession`.
    """

    recipe: DetectorRecipe
    data: DetectionData
    validation: DetectionData | None = None
    validate_every: int = 1
    backend: str = "pycocotools"

    def first_compile(self, model: keras.Model) -> None:
        rate, steps = self.peak_learning_rate, self.data.steps_per_epoch
        model.compile(self.recipe.optimizer(rate, steps))

    def train(self, model: keras.Model, callbacks: Sequence, **options) -> None:
        measures = []
        if self.validation is not None:
            metrics = COCOMetrics(self.validation, self.validate_every, self.backend)
            measures.append(metrics)
        super().train(model, [*measures, *callbacks], **options)

    def settings(self) -> dict:
        settings = {
            "recipe": vars(self.recipe),
            "category_ids": self.data.annotations.category_ids,
            "sides": self.data.sides,
            "mean": self.data.mean,
            "std": self.data.std,
            "mask_size": self.data.reader.mask_size,
        }
        return json.loads(json.dumps(settings, default=_plain))


def _plain(value):
    """Recipes' parts as JSON."""
    return dict(value) if isinstance(value, Mapping) else vars(value)


def load_detector(directory: str | Path) -> tuple[keras.Model, dict[str, Any]]:
    """The detector of a finished training and how its images are prepared.

    Args:
        directory: The training's.

    Returns:
        The model, not compiled, and its settings: `class_names`, `category_ids`,
        `sides`, `mean`, `std`, `mask_size` and more.

    Raises:
        FileNotFoundError: If there is no finished training.
        ValueError: If it is the training of another kind of network.
    """
    return load_finished(directory, "sides")


def image_options(settings: dict) -> dict:
    """The arguments of `keras_sa.data.coco.load` that prepare images as in training."""
    return {
        "sides": tuple(settings["sides"]),
        "mean": tuple(settings["mean"]),
        "std": tuple(settings["std"]),
    }
