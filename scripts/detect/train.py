"""Trains a detector by a recipe."""

import dataclasses
import json
from typing import Annotated
from typing import Any

import typer

from keras_sa.scripts import shared_options


def train(
    directory: shared_options.Output,
    recipe: Annotated[str, typer.Option(help="coco_1x or shapes.")] = "shapes",
    data: Annotated[
        str | None,
        typer.Option(help="shapes, shapes:FOLDER, coco:FOLDER or tfds:coco/2017."),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="retinanet, faster_rcnn or mask_rcnn.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Such as sa_resnet50, resnet50, se_resnet101.")
    ] = None,
    backbone_weights: Annotated[
        str | None, typer.Option(help="A name, a file or 'none'.")
    ] = None,
    strategy: shared_options.Strategy = "auto",
    replicas: shared_options.Replicas = None,
    epochs: shared_options.Epochs = None,
    batch_size: shared_options.GlobalBatch = None,
    learning_rate: shared_options.LearningRate = None,
    sides: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Of the resized images: the short and at most the long."),
    ] = None,
    policy: shared_options.Policy = None,
    seed: shared_options.Seed = 0,
    save_every: shared_options.SaveEvery = None,
    validate_every: Annotated[
        int, typer.Option(help="In epochs; 0 for no validation.")
    ] = 1,
    backend: shared_options.Backend = "pycocotools",
    restart: shared_options.Restart = False,
    timeout: shared_options.Timeout = 60.0,
    skip_bad: Annotated[
        bool, typer.Option(help="Leave out what can't be used, and list it.")
    ] = False,
) -> None:
    """Trains a detector; the same command again goes on where it stopped.

    After SIGTERM or Ctrl-C it saves its state and exits with 75.
    """
    from keras_sa.recipes.detector_recipes import DETECTORS
    from keras_sa.recipes.detector_recipes import get_detector_recipe
    from keras_sa.recipes.detector_session import DetectorSession
    from keras_sa.training.cluster.strategy import is_chief
    from keras_sa.training.cluster.strategy import make_strategy

    chosen = get_detector_recipe(recipe)
    changes: dict[str, Any] = {
        "data": data,
        "detector": detector,
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "epochs": epochs,
        "sides": sides,
        "policy": policy,
    }
    chosen = dataclasses.replace(
        chosen, **{name: value for name, value in changes.items() if value is not None}
    )
    if backbone_weights == "none":
        chosen = dataclasses.replace(chosen, backbone_weights=None)
    if chosen.detector not in DETECTORS:
        raise typer.BadParameter(f"--detector must be one of {list(DETECTORS)}")
    if chosen.data is None:
        raise typer.BadParameter(f"the recipe {recipe} needs --data")
    if chosen.data == "shapes":
        chosen = dataclasses.replace(chosen, data=f"shapes:{directory / 'shapes'}")
    # First of all: it sets up the devices.
    made = make_strategy(strategy, replicas, timeout)
    images, validation = _load(
        chosen, batch_size, seed, directory if skip_bad else None, validate_every > 0
    )
    session = DetectorSession(
        recipe=chosen,
        build=_builder(chosen),
        data=images,
        strategy=made,
        directory=directory,
        validation=validation,
        validate_every=max(validate_every, 1),
        backend=backend,
        seed=seed,
        learning_rate=learning_rate,
    )
    model = session.model()
    if is_chief(made):
        _describe(session, model, recipe)
    session.run(model, save_every=save_every, restart=restart)
    if is_chief(made):
        last = (directory / "metrics.jsonl").read_text().splitlines()[-1]
        print(json.dumps(json.loads(last)))


def _load(recipe, batch_size, seed, reports, validate):
    from keras_sa.data import coco
    from keras_sa.recipes.detector_recipes import MASK_SIZE
    from keras_sa.recipes.detector_recipes import WITH_MASKS

    def load(split, **options):
        return coco.load(
            recipe.data,
            split,
            sides=recipe.sides,
            mask_size=MASK_SIZE if recipe.detector in WITH_MASKS else 0,
            seed=seed,
            skip_bad=reports is not None,
            report=reports and reports / f"bad_{split}.jsonl",
            **options,
        )

    images = load("train", batch_size=batch_size or recipe.batch_size)
    # One image at a time is padded least.
    validation = load("validation", batch_size=1) if validate else None
    if validation and validation.class_names != images.class_names:
        raise typer.BadParameter(
            f"the validation images have the classes {validation.class_names[:10]}, "
            f"the training images {images.class_names[:10]}"
        )
    return images, validation


def _builder(recipe):
    from keras_sa import applications
    from keras_sa.recipes.detector_recipes import DETECTORS

    def build(classes):
        backbone, options = recipe.backbone, {"freeze": recipe.freeze}
        if isinstance(backbone, str):
            options["backbone_weights"] = recipe.backbone_weights
        else:
            backbone = applications.AttentionResNet(
                include_top=False,
                weights=recipe.backbone_weights,
                input_shape=(None, None, 3),
                **backbone,
            )
        builder = getattr(applications, DETECTORS[recipe.detector])
        options |= recipe.options.get(recipe.detector, {})
        return builder(backbone, classes, **options)

    return build


def _describe(session, model, name):
    from rich.table import Table

    from keras_sa.scripts.plain_console import plain_console

    data, recipe = session.data, session.recipe
    bad = sum(data.reader.problems.counts.values())
    rows = {
        "recipe": f"{name}, expected: {recipe.expected}",
        "detector": f"{recipe.detector}, {model.count_params():,} parameters",
        "devices": str(session.strategy.num_replicas_in_sync),
        "images": f"{data.num_examples}, {len(data.annotations.objects)} objects of "
        f"{len(data.class_names)} classes" + (f", {bad} left out" if bad else ""),
        "sides": f"{data.sides[0]}, at most {data.sides[1]}",
        "global batch": str(data.batch_size),
        "steps": f"{data.steps_per_epoch} an epoch, {recipe.epochs} epochs",
        "learning rate": f"{session.peak_learning_rate:g}",
        "directory": str(session.directory),
    }
    table = Table(show_header=False)
    for row in rows.items():
        table.add_row(*row)
    plain_console().print(table)


if __name__ == "__main__":
    typer.run(train)
