"""Trains a network by a recipe."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options
from keras_sa.scripts.train_report import BAD_IMAGES
from keras_sa.xla_cache import keep_compiled


def train(
    recipe: Annotated[str, typer.Option(help="A name of keras_sa's recipes.")],
    directory: shared_options.Output,
    data: Annotated[
        str | None, typer.Option(help="The images, such as folder:photos.")
    ] = None,
    validation_data: Annotated[
        str | None, typer.Option(help="For validation, where it is not the same.")
    ] = None,
    validation_split: Annotated[
        str | None, typer.Option(help="Evaluated after every epoch; 'none' for none.")
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(help="Held out as 'validation' where there is none.")
    ] = 0.0,
    strategy: shared_options.Strategy = "auto",
    replicas: shared_options.Replicas = None,
    epochs: shared_options.Epochs = None,
    batch_size: shared_options.GlobalBatch = None,
    learning_rate: shared_options.LearningRate = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="To begin with: a name, a file or 'none'.")
    ] = None,
    policy: shared_options.Policy = None,
    rand_augment: Annotated[
        int | None, typer.Option(help="Operations of RandAugment an image; 0 is off.")
    ] = None,
    random_erasing: Annotated[
        float | None, typer.Option(help="Probability of random erasing; 0 is off.")
    ] = None,
    mixup: Annotated[
        float | None, typer.Option(help="Alpha of MixUp; 0 is off.")
    ] = None,
    cutmix: Annotated[
        float | None, typer.Option(help="Alpha of CutMix; 0 is off.")
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Taken from the label; 0 is off.")
    ] = None,
    sync_batch_norm: Annotated[
        bool | None,
        typer.Option(help="Batch statistics over all devices, or each its own."),
    ] = None,
    seed: shared_options.Seed = 0,
    save_every: shared_options.SaveEvery = None,
    skip_bad_images: Annotated[
        bool, typer.Option(help="Leave out undecodable images, and list them.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option(help="Also write logs for TensorBoard.")
    ] = False,
    restart: shared_options.Restart = False,
    xla_cache: Annotated[
        Path | None,
        typer.Option(help="A folder in which what XLA compiles is kept for later."),
    ] = None,
    timeout: shared_options.Timeout = 60.0,
    dry_run: Annotated[
        bool, typer.Option(help="Print what would be done, and stop.")
    ] = False,
) -> None:
    """Trains a network; the same command again goes on where it stopped.

    After SIGTERM or Ctrl-C it saves its state and exits with 75.
    """
    if xla_cache is not None:
        # Before TensorFlow is imported.
        keep_compiled(xla_cache)
    from keras_sa.recipes.classifier_recipes import get_recipe
    from keras_sa.recipes.classifier_session import ClassifierSession
    from keras_sa.recipes.memory import training_memory
    from keras_sa.scripts.train_images import training_images
    from keras_sa.scripts.train_report import report_plan
    from keras_sa.scripts.train_report import report_result
    from keras_sa.training.batches import check_batch_size
    from keras_sa.training.cluster.strategy import is_chief
    from keras_sa.training.cluster.strategy import make_strategy

    chosen = get_recipe(recipe)
    chosen = _changed(
        chosen,
        data=data,
        epochs=epochs,
        image_size=image_size,
        policy=policy,
        sync_batch_norm=sync_batch_norm,
        augmentation=_changed(
            chosen.augmentation,
            rand_augment=rand_augment,
            random_erasing=random_erasing,
            mixup=mixup,
            cutmix=cutmix,
            label_smoothing=label_smoothing,
        ),
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
    batch_size = batch_size or chosen.batch_size
    check_batch_size(batch_size, made)
    images, validation, validated_on = training_images(
        chosen,
        validation_data,
        validation_split,
        batch_size=batch_size,
        seed=seed,
        validation_fraction=validation_fraction,
        skip_bad_images=skip_bad_images,
        report=directory / BAD_IMAGES if skip_bad_images else None,
    )
    lengthened = chosen.lengthened(images.steps_per_epoch)
    chosen = _changed(lengthened, epochs=epochs)
    session = ClassifierSession(
        recipe=chosen,
        build=_builder(chosen),
        data=images,
        strategy=made,
        directory=directory,
        validation=validation,
        validated_on=validated_on,
        seed=seed,
        learning_rate=learning_rate,
    )
    chief = is_chief(made)
    # In every worker: they create the variables together.
    model = session.model()
    memory = training_memory(model, images.batch_size // made.num_replicas_in_sync)
    if chief:
        report_plan(session, model, memory, recipe, xla_cache)
    if dry_run:
        return
    callbacks = []
    if tensorboard:
        from keras_sa.recipes.tensorboard import TensorBoardLog

        callbacks.append(TensorBoardLog(directory / "tensorboard", images, chief))
    session.run(model, callbacks, save_every=save_every, restart=restart)
    if chief:
        report_result(directory)


def _changed(value, **changes):
    """A dataclass with those of the changes that are not None."""
    given = {name: change for name, change in changes.items() if change is not None}
    return dataclasses.replace(value, **given)


def _builder(recipe):
    from keras_sa import applications
    from keras_sa.recipes.new_head import with_new_head

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
        return with_new_head(base, classes)

    return build


if __name__ == "__main__":
    typer.run(train)
