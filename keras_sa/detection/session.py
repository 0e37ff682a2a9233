"""A detector's training on a machine: from the data to a model in a directory."""

import json
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_sa.data.coco import DetectionData
from keras_sa.detection.coco_callback import COCOMetrics
from keras_sa.detection.recipes import DetectionRecipe
from keras_sa.training.fit import fit
from keras_sa.training.metrics_log import MetricsLog
from keras_sa.training.session import MODEL
from keras_sa.training.session import SETTINGS
from keras_sa.training.session import save_model
from keras_sa.training.strategy import is_chief
from keras_sa.utils.files import write_atomically


@dataclass(frozen=True)
class DetectionSession:
    """What a training of a detector consists of.

    Args:
        recipe: How to train.
        build: A function of the number of classes that builds the detector.
        data: The training images; its global batch decides the learning rate.
        strategy: The `tf.distribute.Strategy`.
        directory: Where everything is written: `state/`, `metrics.jsonl`,
            `metrics.csv`, `settings.json` and, at the end, `model.keras`.
        validation: COCO's metrics are taken on it.
        validate_every: After how many epochs each.
        backend: See `coco_metrics`.
        seed: Of the detector's weights.
        learning_rate: Instead of the recipe's in proportion to the batch.
    """

    recipe: DetectionRecipe
    build: Callable[[int], keras.Model]
    data: DetectionData
    strategy: object
    directory: Path
    validation: DetectionData | None = None
    validate_every: int = 1
    backend: str = "pycocotools"
    seed: int = 0
    learning_rate: float | None = None

    @property
    def peak_learning_rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return self.recipe.scaled_learning_rate(self.data.batch_size)

    def model(self) -> keras.Model:
        """Builds and compiles the detector in the strategy's scope."""
        keras.utils.set_random_seed(self.seed)
        keras.config.set_dtype_policy(self.recipe.policy)
        with self.strategy.scope():
            model = self.build(len(self.data.class_names))
            model.compile(
                self.recipe.optimizer(
                    self.peak_learning_rate, self.data.steps_per_epoch
                )
            )
        return model

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
            callbacks: Beside `COCOMetrics` and `MetricsLog`.
            save_every: See `keras_sa.training.fit`.
            verbose: As in `model.fit`.

        Returns:
            The trained model.
        """
        chief = is_chief(self.strategy)
        if chief:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self.directory / SETTINGS, self._settings())
        measures = []
        if self.validation is not None:
            measures.append(
                COCOMetrics(self.validation, self.validate_every, self.backend)
            )
        log = MetricsLog(self.directory, self.data.batch_size, write=chief)
        fit(
            model,
            self.data,
            self.recipe.epochs,
            callbacks=[*measures, *callbacks, log],
            verbose=verbose if chief else 0,
            directory=self.directory / "state",
            save_every=save_every,
        )
        if chief:
            save_model(model, self.directory / MODEL)
        return model

    def _settings(self):
        annotations = self.data.annotations
        settings = {
            "recipe": vars(self.recipe),
            "class_names": annotations.class_names,
            "category_ids": annotations.category_ids,
            "sides": self.data.sides,
            "mean": self.data.mean,
            "std": self.data.std,
            "mask_size": self.data.reader.mask_size,
            "batch_size": self.data.batch_size,
            "learning_rate": self.peak_learning_rate,
            "seed": self.seed,
        }
        return json.dumps(settings, indent=1, default=_plain) + "\n"


def _plain(value):
    """Recipes' parts as JSON."""
    return dict(value) if isinstance(value, Mapping) else vars(value)


def load_detector(directory: str | Path) -> tuple[keras.Model, dict]:
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
    # Saved models find our classes by their registered names.
    import keras_sa.detection
    import keras_sa.layers  # noqa: F401

    directory = Path(directory)
    for name in (SETTINGS, MODEL):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"There is no finished training in {str(directory)!r}: "
                f"{name} is missing."
            )
    settings = json.loads((directory / SETTINGS).read_text())
    if "sides" not in settings:
        raise ValueError(
            f"{str(directory)!r} holds the training of a classifier, not of a detector."
        )
    return keras.saving.load_model(directory / MODEL, compile=False), settings


def image_options(settings: dict) -> dict:
    """The arguments of `keras_sa.data.coco.load` that prepare images as in training."""
    return {
        "sides": tuple(settings["sides"]),
        "mean": tuple(settings["mean"]),
        "std": tuple(settings["std"]),
    }
