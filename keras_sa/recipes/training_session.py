"""What the training of every kind of network on a machine has in common."""

import json
import math
import sys
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_sa.data import ImageData
from keras_sa.data.coco import DetectionData
from keras_sa.recipes.begun import check_begun
from keras_sa.recipes.begun import remove_training
from keras_sa.recipes.begun import write_begun
from keras_sa.recipes.classifier_recipes import ClassifierRecipe
from keras_sa.recipes.detector_recipes import DetectorRecipe
from keras_sa.recipes.metrics_log import MetricsLog
from keras_sa.training.cluster.strategy import is_chief
from keras_sa.training.cluster.workers import Workers
from keras_sa.training.fitting import fit
from keras_sa.training.resuming.lock import only_training
from keras_sa.utils.files import replacing
from keras_sa.utils.files import write_atomically

if TYPE_CHECKING:
    import tensorflow as tf

MODEL = "model.keras"
SETTINGS = "settings.json"


@dataclass(frozen=True)
class TrainingSession:
    """What a training consists of.

    Args:
        recipe: How to train.
        build: A function of the number of classes that builds the network.
        data: The training images; its global batch decides the learning rate.
        strategy: The `tf.distribute.Strategy`.
        directory: Where everything is written: `state/`, `metrics.jsonl`,
            `metrics.csv` and, at the end, `settings.json` and `model.keras`.
        validation: Evaluated after every epoch.
        seed: Of the network's weights.
        learning_rate: Instead of the recipe's in proportion to the batch.

    Raises:
        ValueError: If the learning rate is not a positive number.
    """

    recipe: ClassifierRecipe | DetectorRecipe
    build: Callable[[int], keras.Model]
    data: ImageData | DetectionData
    strategy: "tf.distribute.Strategy"
    directory: Path
    validation: ImageData | DetectionData | None = None
    seed: int = 0
    learning_rate: float | None = None

    def __post_init__(self):
        rate = self.learning_rate
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(
                "`learning_rate` must be a positive number. "
                f"Received: learning_rate={rate}"
            )

    @property
    def peak_learning_rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return self.recipe.scaled_learning_rate(self.data.batch_size)

    def model(self) -> keras.Model:
        """Builds and compiles the network in the strategy's scope.

        Raises:
            ValueError: If Keras has no dtype policy of the recipe's name.
        """
        keras.utils.set_random_seed(self.seed)
        try:
            keras.config.set_dtype_policy(self.recipe.policy)
        except ValueError as error:
            raise ValueError(
                "`policy` must be the name of a Keras dtype policy, such as "
                f"'mixed_bfloat16'. Received: policy={self.recipe.policy!r}"
            ) from error
        with self.strategy.scope():
            model = self.build(len(self.data.class_names))
            self.first_compile(model)
        return model

    def run(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        save_every: int | None = None,
        verbose: int | None = None,
        restart: bool = False,
    ) -> keras.Model:
        """Trains, or goes on where it stopped, and saves the model.

        Args:
            model: What `model()` returned.
            callbacks: Beside those of the session.
            save_every: See `keras_sa.training.fit`.
            verbose: As in `model.fit`. Defaults to a progress bar on a terminal and
                to one line an epoch elsewhere, for example in a log file.
            restart: Whether to delete the training that the directory holds.

        Returns:
            The trained model.

        Raises:
            ValueError: If the directory holds another training, or another process
                is training there.
        """
        chief = is_chief(self.strategy)
        if not chief:
            return self._run(model, callbacks, save_every, verbose, restart)
        with only_training(self.directory):
            return self._run(model, callbacks, save_every, verbose, restart)

    def _run(self, model, callbacks, save_every, verbose, restart):
        chief = is_chief(self.strategy)
        if restart:
            if chief:
                remove_training(self.directory)
            Workers(self.strategy).wait()
        settings = self._settings()
        check_begun(self.directory, settings)
        if verbose is None:
            verbose = 1 if sys.stdout.isatty() else 2
        if chief:
            write_begun(self.directory, settings)
        log = MetricsLog(self.directory, self.data.batch_size, write=chief)
        self.train(
            model,
            callbacks=[*callbacks, log],
            verbose=verbose if chief else 0,
            save_every=save_every,
        )
        with self.strategy.scope():
            model = self.trained(model)
        if chief:
            # Together: a training that fails leaves both to the one before it.
            text = json.dumps(settings, indent=1) + "\n"
            write_atomically(self.directory / SETTINGS, text)
            save_model(model, self.directory / MODEL)
        # A worker that ends before the chief has saved is taken for a dead one.
        Workers(self.strategy).wait()
        return model

    def _settings(self):
        settings = {
            **self.settings(),
            "class_names": self.data.class_names,
            "batch_size": self.data.batch_size,
            "learning_rate": self.peak_learning_rate,
            "seed": self.seed,
            "num_examples": self.data.num_examples,
        }
        return json.loads(json.dumps(settings))

    def first_compile(self, model: keras.Model) -> None:
        """Compiles the new network; called in the strategy's scope."""
        raise NotImplementedError

    def train(self, model: keras.Model, callbacks: Sequence, **options) -> None:
        """Fits the network.

        Args:
            model: The compiled network.
            callbacks: For `fit`.
            **options: For `fit`, too.
        """
        self.fit(model, self.recipe.epochs, "state", callbacks=callbacks, **options)

    def fit(self, model: keras.Model, epochs: int, state: str, **options) -> None:
        """One `keras_sa.training.fit` that keeps its state in this subdirectory."""
        fit(model, self.data, epochs, directory=self.directory / state, **options)

    def trained(self, model: keras.Model) -> keras.Model:
        """What is saved of a network that has been trained."""
        return model

    def settings(self) -> dict:
        """The recipe, and how images are prepared, for `settings.json`."""
        raise NotImplementedError


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a `.keras` file under another name, then renames it."""
    with replacing(path) as temporary:
        model.save(temporary)


def load_finished(directory: str | Path, key: str) -> tuple[keras.Model, dict]:
    """The model of a finished training, not compiled, and its settings.

    Args:
        directory: The training's.
        key: What the settings of this kind of network have.

    Raises:
        FileNotFoundError: If there is no finished training.
        ValueError: If it is the training of another kind of network.
    """
    directory = Path(directory)
    for name in (SETTINGS, MODEL):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"There is no finished training in {str(directory)!r}: "
                f"{name} is missing."
            )
    settings = json.loads((directory / SETTINGS).read_text())
    if key not in settings:
        raise ValueError(
            f"{str(directory)!r} holds the training of another kind of network: "
            f"{SETTINGS} has no {key!r}. A classifier is used by `keras-sa evaluate`, "
            "a detector by `keras-sa detect evaluate`, and so on."
        )
    return keras.saving.load_model(directory / MODEL, compile=False), settings
