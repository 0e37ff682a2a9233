"""Finds objects in images with a trained detector."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options

COLUMNS = ("file", "class", "score", "x, y, width, height")


def predict(
    directory: shared_options.Trained,
    images: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    threshold: Annotated[float, typer.Option(help="The lowest score.")] = 0.5,
    output: shared_options.JsonLines = None,
    pictures: Annotated[
        Path | None, typer.Option(help="A folder for PNG files with the objects.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option(help="Leave out undecodable images, and name them.")
    ] = False,
) -> None:
    """Prints the objects in every image; boxes are x, y, width and height.

    They are in pixels of the picture as a person sees it, with EXIF's orientation.
    """
    from keras_sa.data.sources.unlabelled_files import image_files
    from keras_sa.detection.evaluation.image_prediction import ImagePrediction
    from keras_sa.recipes.detector_session import load_detector

    model, settings = load_detector(directory)
    find = ImagePrediction(model, settings)
    rows = []
    for number, file in enumerate(image_files(images).files):
        try:
            image, objects = find(file, threshold)
        except ValueError as error:
            if not skip_bad:
                raise
            typer.echo(f"Left out: {error}", err=True)
            continue
        rows.append({"file": file, "objects": objects})
        if pictures is not None:
            _save_picture(
                pictures / f"{number:04d}_{Path(file).stem}.png",
                image,
                objects,
                settings["class_names"],
            )
    if output is None:
        _print_table(rows)
    else:
        shared_options.write_json_lines(output, rows)


def _save_picture(path, image, objects, class_names):
    import numpy as np

    from keras_sa.data.coco.rle import rle_decode
    from keras_sa.visualization import detections_figure

    masks = [rle_decode(o["segmentation"]) for o in objects if "segmentation" in o]
    boxes = np.array([each["bbox"] for each in objects]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    figure = detections_figure(
        image,
        boxes,
        [class_names.index(each["class"]) for each in objects],
        class_names,
        [each["score"] for each in objects],
        masks or None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _print_table(rows):
    from keras_sa.scripts.plain_console import print_rows

    table = []
    for row in rows:
        for each in row["objects"]:
            box = ", ".join(f"{number:.1f}" for number in each["bbox"])
            table.append((row["file"], each["class"], f"{each['score']:.3f}", box))
        if not row["objects"]:
            table.append((row["file"], "nothing", "", ""))
    print_rows([dict(zip(COLUMNS, line, strict=True)) for line in table])


if __name__ == "__main__":
    typer.run(predict)
