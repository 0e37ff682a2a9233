"""A recipe on a machine: from the data to a trained classifier in a directory."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_sa.data import ImageData
from keras_sa.recipes.classifier_recipes import ClassifierRecipe
from keras_sa.recipes.new_head import STANDARDISED
from keras_sa.recipes.new_head import folded
from keras_sa.recipes.new_head import has_new_head
from keras_sa.recipes.new_head import standardise
from keras_sa.recipes.training_session import TrainingSession
from keras_sa.recipes.training_session import load_finished
from keras_sa.utils.layer_names import HEAD


@dataclass(frozen=True)
class ClassifierSession(TrainingSession):
    """The training of a classifier whose last layer is `predictions`.

    Args:
        recipe: How to train.
        data: The training images.
        validation: Evaluated after every epoch.
        validated_on: The arguments of `keras_sa.data.load` for these images, to be
            kept in the settings.
        **kwargs: See `TrainingSession`.
    """

    recipe: ClassifierRecipe
    data: ImageData
    validation: ImageData | None = None
    validated_on: dict | None = None

    def first_compile(self, model: keras.Model) -> None:
        self.compile(model, head_only=self.recipe.head_epochs > 0)

    def compile(self, model: keras.Model, head_only: bool) -> None:
        """Compiles for one of the stages: the last layer only, or all of them."""
        recipe = self.recipe
        for layer in model.layers:
            batch_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = layer.name == HEAD or not (
                head_only
                or layer.name == STANDARDISED
                or (recipe.freeze_batch_norms and batch_norm)
            )
        epochs = recipe.head_epochs if head_only else recipe.epochs
        one_hot = self.data.one_hot
        metrics = keras.metrics
        with self.strategy.scope():
            top5 = (
                metrics.TopKCategoricalAccuracy
                if one_hot
                else (metrics.SparseTopKCategoricalAccuracy)
            )
            model.compile(
                recipe.optimizer(
                    self.peak_learning_rate, epochs, self.data.steps_per_epoch
                ),
                "categorical_crossentropy"
                if one_hot
                else "sparse_categorical_crossentropy",
                weighted_metrics=["accuracy"]
                + ([top5(5, name="top5_accuracy")] if self.classes > 5 else []),
            )

    @property
    def classes(self) -> int:
        return len(self.data.class_names)

    def train(self, model: keras.Model, callbacks: Sequence, **options) -> None:
        recipe = self.recipe
        options |= {
            "callbacks": callbacks,
            "validation_data": self.validation,
            "synchronized": recipe.sync_batch_norm,
        }
        if has_new_head(model):
            standardise(model, self.data)
        if recipe.head_epochs:
            self.fit(model, recipe.head_epochs, "head_state", **options)
            self.compile(model, head_only=False)
        self.fit(model, recipe.epochs, "state", **options)

    def trained(self, model: keras.Model) -> keras.Model:
        return folded(model) if has_new_head(model) else model

    def settings(self) -> dict:
        preparation = self.data.preparation
        return {
            "recipe": vars(self.recipe)
            | {
                "model_options": dict(self.recipe.model_options),
                "schedule": dataclasses.asdict(self.recipe.schedule),
                "augmentation": dataclasses.asdict(self.recipe.augmentation),
            },
            "validation": self.validated_on,
            "image_size": preparation.image_size,
            "channels": preparation.channels,
            "mean": preparation.mean,
            "std": preparation.std,
            "crop_ratio": preparation.crop_ratio,
        }


def load_trained(directory: str | Path) -> tuple[keras.Model, dict[str, Any]]:
    """The classifier of a finished training and how its images are prepared.

    Args:
        directory: The training's.

    Returns:
        The model, not compiled, and its settings: `class_names`, `image_size`,
        `channels`, `mean`, `std`, `crop_ratio` and more.

    Raises:
        FileNotFoundError: If there is no finished training.
        ValueError: If it is the training of another kind of network.
    """
    return load_finished(directory, "image_size")


def image_options(settings: dict) -> dict:
    """The arguments of `keras_sa.data.load` that prepare images as in training."""
    return {
        "image_size": tuple(settings["image_size"]),
        "channels": settings["channels"],
        "mean": settings["mean"],
        "std": settings["std"],
        "crop_ratio": settings["crop_ratio"],
    }
