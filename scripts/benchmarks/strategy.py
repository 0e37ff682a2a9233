"""Training on two logical devices of a CPU against training on one."""

from pathlib import Path
from typing import Annotated

import typer

REFERENCE = "1 device, plain Keras"


def strategy(
    network: Annotated[
        str, typer.Option(help="fashion_mnist, as in the recipe, or sa_resnet50.")
    ] = "fashion_mnist",
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images of a step, of all devices together."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Height and width of the images.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a timed round.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Times the same training, with the same global batch, on 2 replicas and on 1."""
    from keras_sa.recipes.classifier_recipes import get_recipe
    from keras_sa.scripts.benchmarks.report import report
    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.training import make_strategy

    recipe = get_recipe("fine_tune" if network == "sa_resnet50" else network)
    batch = batch or recipe.batch_size
    shape = (size or recipe.image_size,) * 2 + (recipe.channels,)
    # The CPU is cut into devices before anything is computed.
    mirrored = make_strategy("mirrored", replicas=2)
    single = make_strategy("single")
    contenders = {
        REFERENCE: (single, False),
        "1 device, prepared": (single, True),
        "2 replicas, plain Keras": (mirrored, False),
        "2 replicas, prepared": (mirrored, True),
    }
    trainings = {
        name: _training(recipe, made, prepared, batch, shape, steps)
        for name, (made, prepared) in contenders.items()
    }
    times: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(repeats):
        for name, train in trainings.items():
            times[name].append(train())
    rows = timing_rows(f"{steps} steps of {batch} images", times, REFERENCE)
    report(f"{network}, {shape[0]}x{shape[1]}, float32, SGD", rows, csv)


def _training(recipe, strategy, prepared, batch, shape, steps):
    """A function that trains and returns the seconds of some steps."""
    import keras
    import tensorflow as tf

    from keras_sa import applications
    from keras_sa.training import prepare

    options = {**recipe.model_options, "weights": None}
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = getattr(applications, recipe.model)(
            input_shape=shape, classes=10, **options
        )
        model.compile(
            keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy"
        )
    if prepared:
        prepare(model)
    images = tf.random.stateless_normal((batch, *shape), (0, 0))
    labels = tf.range(batch) % 10
    data = tf.data.Dataset.from_tensors((images, labels)).repeat()
    clock = _clock()

    def train():
        model.fit(data, steps_per_epoch=steps + 1, verbose=0, callbacks=[clock])
        return clock.ends[-1] - clock.ends[0]

    # The first time it is traced.
    train()
    return train


def _clock():
    """A callback that notes when a step has ended, all its values computed."""
    import time

    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.ends = []

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])
            self.ends.append(time.perf_counter())

    return Clock()


if __name__ == "__main__":
    typer.run(strategy)
