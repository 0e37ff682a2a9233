"""Evaluates a trained network."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options
from keras_sa.scripts.user_errors import refuse_given

DPI = 110


def evaluate(
    context: typer.Context,
    directory: shared_options.Trained,
    data: Annotated[
        str | None, typer.Option(help="The images. Defaults to the training's.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Of the images. Defaults to 'test', or to what the training "
            "validated on if there is none."
        ),
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(help="As in training, for the split 'validation'.")
    ] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Of all devices together.")] = 64,
    strategy: shared_options.Strategy = "auto",
    replicas: shared_options.Replicas = None,
    skip_bad_images: Annotated[
        bool, typer.Option(help="Leave out undecodable images, and count them.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="With --skip-bad-images: lists them here.")
    ] = None,
    picture: shared_options.Picture = None,
    picture_images: Annotated[
        int, typer.Option(min=1, help="In it, from all over the images.")
    ] = 12,
) -> None:
    """Prints loss and accuracies as JSON, and of how many images they are."""
    if picture is None:
        refuse_given(context, ["picture_images"], "--picture")
    from keras_sa.data import MissingSplitError
    from keras_sa.data import load
    from keras_sa.recipes.classifier_session import image_options
    from keras_sa.recipes.classifier_session import load_trained
    from keras_sa.training.batches import Batches
    from keras_sa.training.cluster.strategy import is_chief
    from keras_sa.training.cluster.strategy import make_strategy
    from keras_sa.training.prepared_model import prepare

    made = make_strategy(strategy, replicas)
    with made.scope():
        model, settings = load_trained(directory)
        classes = settings["class_names"]
        model.compile(
            loss="sparse_categorical_crossentropy",
            weighted_metrics=["accuracy", *_top5(len(classes)), _image_count()],
        )
    options = {
        "training": False,
        "batch_size": batch_size,
        "one_hot": False,
        "skip_bad_images": skip_bad_images,
        "report": report,
        **image_options(settings),
    }
    try:
        images = load(
            data or settings["recipe"]["data"],
            split or "test",
            validation_fraction=validation_fraction,
            **options,
        )
    except MissingSplitError:
        if split or data or not settings.get("validation"):
            raise
        images = load(**settings["validation"], **options)
    if list(images.class_names) != list(classes):
        raise typer.BadParameter(
            f"the images have the classes {list(images.class_names)[:10]}, the network "
            f"was trained on {classes[:10]}"
        )
    batches = Batches(images, made)
    found = prepare(model).evaluate(
        batches.all(),
        steps=batches.steps_per_epoch,
        verbose=1 if is_chief(made) and sys.stdout.isatty() else 0,
        return_dict=True,
    )
    if is_chief(made):
        counts = {"images": int(found.pop("images"))}
        if skip_bad_images:
            counts["skipped"] = images.num_examples - counts["images"]
        if picture is not None:
            figure = _picture(model, images, counts["images"], picture_images)
            figure.savefig(picture, dpi=DPI)
        print(json.dumps({**counts, **found}))


def _picture(model, data, readable, count):
    """Images at equal distances: those of a folder are sorted by their classes."""
    import numpy as np

    from keras_sa.visualization import predictions_figure

    if not readable:
        raise ValueError("There is no picture, as no image could be decoded.")
    chosen = set(np.linspace(0, readable - 1, count).round().astype(int))
    shown = []
    rows = (row for batch in data.epoch() for row in zip(*batch, strict=True))
    images = ((pixels, label) for pixels, label, weight in rows if weight)
    for number, (pixels, label) in enumerate(images):
        if number in chosen:
            scores = np.asarray(model(pixels[None], training=False))[0]
            answer = int(scores.argmax())
            names = data.class_names[int(label)], data.class_names[answer]
            image = 255 * data.preparation.shown(pixels.numpy())
            shown.append((image, *names, scores[answer]))
    return predictions_figure(*zip(*shown, strict=True))


def _image_count():
    """A metric that counts the images of all workers without the skipped ones."""
    import keras

    class ImageCount(keras.metrics.Sum):
        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(keras.ops.ones(keras.ops.shape(y_true)[0]))

    return ImageCount(name="images")


def _top5(classes):
    import keras

    if classes <= 5:
        return []
    return [keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5_accuracy")]


if __name__ == "__main__":
    typer.run(evaluate)
