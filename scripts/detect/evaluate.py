"""Evaluates a trained detector."""

import json
from typing import Annotated

import typer

from keras_sa.scripts import shared_options
from keras_sa.scripts.user_errors import refuse_given


def evaluate(
    context: typer.Context,
    directory: shared_options.Trained,
    data: Annotated[
        str | None, typer.Option(help="The images. Defaults to the training's.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the images.")] = "validation",
    batch_size: Annotated[int, typer.Option(min=1, help="Images read at once.")] = 1,
    backend: shared_options.Backend = "pycocotools",
    skip_bad: Annotated[
        bool, typer.Option(help="Leave out what can't be used.")
    ] = False,
    picture: shared_options.Picture = None,
    picture_images: Annotated[
        int, typer.Option(min=1, help="In it, the first of them.")
    ] = 6,
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="The lowest score in the picture."),
    ] = 0.5,
) -> None:
    """Prints COCO's average precisions as JSON, and how much was left out of what."""
    if picture is None:
        refuse_given(context, ["picture_images", "threshold"], "--picture")
    from keras_sa.data import coco
    from keras_sa.detection.evaluation.coco_evaluation import evaluate as score
    from keras_sa.recipes.detector_session import image_options
    from keras_sa.recipes.detector_session import load_detector

    model, settings = load_detector(directory)
    images = coco.load(
        data or settings["recipe"]["data"],
        split,
        training=False,
        batch_size=batch_size,
        mask_size=settings["mask_size"],
        skip_bad=skip_bad,
        **image_options(settings),
    )
    if list(images.class_names) != settings["class_names"]:
        raise typer.BadParameter(
            f"the images have the classes {list(images.class_names)[:10]}, the "
            f"detector was trained on {settings['class_names'][:10]}"
        )
    found = score(model, images, backend=backend)
    problems = images.reader.problems
    left_out = {"left_out": problems.counts} if problems.found else {}
    readable = images.num_examples - len(images.reader.unreadable)
    if picture is not None:
        from keras_sa.scripts.detect.evaluation_picture import annotated_and_found

        figure = annotated_and_found(model, images, picture_images, threshold)
        figure.savefig(picture, dpi=110)
    print(json.dumps({"images": readable, **left_out, **found}))


if __name__ == "__main__":
    typer.run(evaluate)
