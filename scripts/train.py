"""Trains a network by a recipe."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Option(help="A name of keras_sa's recipes.")],
    directory: Annotated[Path, typer.Option(help="Where everything is written.")],
    data: Annotated[
        str | None, typer.Option(help="The images, such as folder:photos.")
    ] = None,
    validation_split: Annotated[
        str | None, typer.Option(help="Evaluated after every epoch; 'none' for none.")
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="auto, single, mirrored or multi_worker.")
    ] = "auto",
    replicas: Annotated[
        int | None, typer.Option(help="With mirrored: how many devices.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Of all devices together.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Instead of the recipe's in proportion to the batch."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Instead of the recipe's.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="To begin with: a name, a file or 'none'.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Keras' dtype policy.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights and the images.")] = 0,
    save_every: Annotated[
        int | None, typer.Option(help="In steps, beside every epoch.")
    ] = None,
    skip_bad_images: Annotated[
        bool, typer.Option(help="Leave out undecodable images, and list them.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option(help="Also write logs for TensorBoard.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for other workers.")
    ] = 60.0,
    dry_run: Annotated[
        bool, typer.Option(help="Print what would be done, and stop.")
    ] = False,
) -> None:
    """Trains a network; the same command again goes on where it stopped.

    After SIGTERM it saves its state and exits with 75.
    """
    from keras_sa.training.memory import training_memory
    from keras_sa.training.preemption import Preempted
    from keras_sa.training.recipes import get_recipe
    from keras_sa.training.session import Session
    from keras_sa.training.strategy import is_chief
    from keras_sa.training.strategy import make_strategy

    chosen = get_recipe(recipe)
    changes = {
        "data": data,
        "epochs": epochs,
        "image_size": image_size,
        "policy": policy,
    }
    chosen = dataclasses.replace(
        chosen, **{name: value for name, value in changes.items() if value is not None}
    )
    if weights is not None:
        options = {
            **chosen.model_options,
            "weights": None if weights == "none" else weights,
        }
        chosen = dataclasses.replace(chosen, model_options=options)
    if chosen.data is None:
        raise typer.BadParameter(f"the recipe {recipe} needs --data")
    if chosen.freeze_batch_norms and chosen.model_options["weights"] is None:
        raise typer.BadParameter(
            f"the recipe {recipe} keeps the statistics of the batch norms: without "
            "--weights they are those of no image, and nothing is learned"
        )
    # First of all: it sets up the devices.
    made = make_strategy(strategy, replicas, timeout)
    images, validation = _load(
        chosen,
        batch_size or chosen.batch_size,
        seed,
        validation_split,
        directory / "bad_images.jsonl" if skip_bad_images else None,
    )
    session = Session(
        recipe=chosen,
        build=_builder(chosen),
        data=images,
        strategy=made,
        directory=directory,
        validation=validation,
        seed=seed,
        learning_rate=learning_rate,
    )
    chief = is_chief(made)
    # In every worker: they create the variables together.
    model = session.model()
    memory = training_memory(model, images.batch_size // made.num_replicas_in_sync)
    if chief:
        _describe(session, model, memory, recipe)
    if dry_run:
        return
    callbacks = []
    if tensorboard:
        from keras_sa.training.tensorboard import TensorBoardLog

        callbacks.append(TensorBoardLog(directory / "tensorboard", images, chief))
    try:
        # In a log file one line an epoch, not one a step.
        verbose = 1 if sys.stdout.isatty() else 2
        session.run(model, callbacks, save_every=save_every, verbose=verbose)
    except Preempted as stopped:
        print(stopped, flush=True)
        raise
    if chief:
        _report(directory)


def _load(recipe, batch_size, seed, validation_split, bad_images):
    from keras_sa.data import load

    options = {
        "image_size": recipe.image_size,
        "batch_size": batch_size,
        "augmentation": recipe.augmentation,
        "channels": recipe.channels,
        "seed": seed,
        "skip_bad_images": bad_images is not None,
        "report": bad_images,
    }
    images = load(recipe.data, "train", training=True, **options)
    for split in (validation_split,) if validation_split else ("validation", "test"):
        if split == "none":
            return images, None
        try:
            return images, load(recipe.data, split, training=False, **options)
        except (FileNotFoundError, ValueError):
            if validation_split:
                raise
    return images, None


def _builder(recipe):
    import keras

    from keras_sa import applications

    def build(classes):
        size = recipe.image_size
        options = {
            **recipe.model_options,
            "input_shape": (size, size, recipe.channels),
        }
        builder = getattr(applications, recipe.model)
        if options["weights"] is None:
            return builder(classes=classes, **options)
        base = builder(include_top=False, pooling="avg", **options)
        top = keras.layers.Dense(
            classes,
            activation="softmax",
            dtype=keras.config.dtype_policy().variable_dtype,
            name="predictions",
        )
        return keras.Model(base.inputs, top(base.output), name=base.name)

    return build


def _describe(session, model, memory, name):
    from rich.console import Console
    from rich.table import Table

    strategy, data = session.strategy, session.data
    replicas = strategy.num_replicas_in_sync
    rows = {
        "recipe": f"{name}, expected: {session.recipe.expected}",
        "devices": f"{replicas}, of this process {', '.join(_devices(strategy))}",
        "images": f"{data.num_examples} of {session.classes} classes, "
        f"{data.image_shape}",
        "global batch": f"{data.batch_size}, {data.batch_size // replicas} a device",
        "steps": f"{data.steps_per_epoch} an epoch, {session.recipe.epochs} epochs",
        "learning rate": f"{session.peak_learning_rate:g}",
        "parameters": f"{model.count_params():,}",
        "memory a device": f"about {sum(memory.values()) / 1e9:.2f} GB ("
        + ", ".join(f"{part} {size / 1e9:.2f}" for part, size in memory.items())
        + ")",
        "directory": str(session.directory),
    }
    table = Table(show_header=False)
    for row in rows.items():
        table.add_row(*row)
    Console().print(table)


def _devices(strategy):
    import tensorflow as tf

    if strategy.num_replicas_in_sync == 1:
        kinds = [d.device_type for d in tf.config.list_physical_devices()]
        return ["GPU:0" if "GPU" in kinds else "CPU:0"]
    local = strategy.extended.worker_devices
    return [device.rpartition("device:")[2] for device in local]


def _report(directory):
    from keras_sa.training.metrics_log import plot_metrics
    from keras_sa.training.metrics_log import read_metrics

    rows = read_metrics(directory)
    print({name: value for name, value in rows[-1].items() if value is not None})
    try:
        plot_metrics(rows, directory / "learning_curve.png")
    except ImportError as error:
        print(f"No learning curve: {error}")


if __name__ == "__main__":
    typer.run(train)
