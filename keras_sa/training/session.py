"""A recipe on a machine: from the data to a trained model in a directory."""

import dataclasses
import json
import os
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_sa.data import ImageData
from keras_sa.training.fit import fit
from keras_sa.training.metrics_log import MetricsLog
from keras_sa.training.recipes import Recipe
from keras_sa.training.strategy import is_chief
from keras_sa.training.workers import Workers
from keras_sa.utils.files import write_atomically

MODEL = "model.keras"
SETTINGS = "settings.json"
HEAD = "predictions"


@dataclass(frozen=True)
class Session:
    """What a training consists of.

    Args:
        recipe: How to train.
        build: A function of the number of classes that builds the network. Its
            last layer is `predictions`.
        data: The training images; its global batch decides the learning rate.
        strategy: The `tf.distribute.Strategy`.
        directory: Where everything is written: `state/`, `metrics.jsonl`,
            `metrics.csv`, `settings.json` and, at the end, `model.keras`.
        validation: Evaluated after every epoch.
        seed: Of the network's weights.
        learning_rate: Instead of the recipe's in proportion to the batch.
    """

    recipe: Recipe
    build: Callable[[int], keras.Model]
    data: ImageData
    strategy: object
    directory: Path
    validation: ImageData | None = None
    seed: int = 0
    learning_rate: float | None = None

    @property
    def peak_learning_rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return self.recipe.scaled_learning_rate(self.data.batch_size)

    def model(self) -> keras.Model:
        """Builds and compiles the network in the strategy's scope."""
        keras.utils.set_random_seed(self.seed)
        keras.config.set_dtype_policy(self.recipe.policy)
        with self.strategy.scope():
            model = self.build(len(self.data.class_names))
        self.compile(model, head_only=self.recipe.head_epochs > 0)
        return model

    def compile(self, model: keras.Model, head_only: bool) -> None:
        """Compiles for one of the stages: the last layer only, or all of them."""
        recipe = self.recipe
        for layer in model.layers:
            batch_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = layer.name == HEAD or not (
                head_only or (recipe.freeze_batch_norms and batch_norm)
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

    def run(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        save_every: int | None = None,
        verbose: int | str = "auto",
    ) -> keras.Model:
        """Trains, or goes on where it stopped, and saves the model.

        Args:
            model: What `model()` returned.
            callbacks: Beside `MetricsLog`.
            save_every: See `keras_sa.training.fit`.
            verbose: As in `model.fit`.

        Returns:
            The trained model.
        """
        chief = is_chief(self.strategy)
        if chief:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self.directory / SETTINGS, self._settings())
        log = MetricsLog(self.directory, self.data.batch_size, write=chief)
        stages = [("state", self.recipe.epochs, False)]
        if self.recipe.head_epochs:
            stages.insert(0, ("head_state", self.recipe.head_epochs, True))
        for name, epochs, head_only in stages:
            if self.recipe.head_epochs:
                self.compile(model, head_only)
            fit(
                model,
                self.data,
                epochs,
                validation_data=self.validation,
                callbacks=[*callbacks, log],
                verbose=verbose if chief else 0,
                directory=self.directory / name,
                save_every=save_every,
            )
        if chief:
            save_model(model, self.directory / MODEL)
        # A worker that ends before the chief has saved is taken for a dead one.
        Workers(self.strategy).wait()
        return model

    def _settings(self):
        preparation = self.data.preparation
        settings = {
            "recipe": vars(self.recipe)
            | {
                "model_options": dict(self.recipe.model_options),
                "schedule": dataclasses.asdict(self.recipe.schedule),
                "augmentation": dataclasses.asdict(self.recipe.augmentation),
            },
            "class_names": self.data.class_names,
            "image_size": preparation.image_size,
            "channels": preparation.channels,
            "mean": preparation.mean,
            "std": preparation.std,
            "crop_ratio": preparation.crop_ratio,
            "batch_size": self.data.batch_size,
            "learning_rate": self.peak_learning_rate,
            "seed": self.seed,
        }
        return json.dumps(settings, indent=1) + "\n"


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a `.keras` file under another name, then renames it."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_trained(directory: str | Path) -> tuple[keras.Model, dict]:
    """The model of a finished training and how its images are prepared.

    Args:
        directory: The training's.

    Returns:
        The model, not compiled, and its settings: `class_names`, `image_size`,
        `channels`, `mean`, `std`, `crop_ratio` and more.

    Raises:
        FileNotFoundError: If there is no finished training.
    """
    # Saved models find our layers by their registered names.
    import keras_sa.layers  # noqa: F401

    directory = Path(directory)
    for name in (SETTINGS, MODEL):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"There is no finished training in {str(directory)!r}: "
                f"{name} is missing."
            )
    settings = json.loads((directory / SETTINGS).read_text())
    return keras.saving.load_model(directory / MODEL, compile=False), settings


def image_options(settings: dict) -> dict:
    """The arguments of `keras_sa.data.load` that prepare images as in training."""
    return {
        "image_size": tuple(settings["image_size"]),
        "channels": settings["channels"],
        "mean": settings["mean"],
        "std": settings["std"],
        "crop_ratio": settings["crop_ratio"],
    }
