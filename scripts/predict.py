"""Classifies images with a trained network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options


def predict(
    directory: shared_options.Trained,
    images: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 32,
    output: shared_options.JsonLines = None,
    skip_bad_images: Annotated[
        bool, typer.Option(help="Leave out undecodable images, and name them.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="With --skip-bad-images: lists them here.")
    ] = None,
) -> None:
    """Prints the most probable classes of every image."""
    from keras_sa.data import load
    from keras_sa.data.sources.unlabelled_files import image_files
    from keras_sa.recipes.classifier_session import image_options
    from keras_sa.recipes.classifier_session import load_trained

    model, settings = load_trained(directory)
    source = image_files(images)
    data = load(
        source,
        "all",
        training=False,
        batch_size=min(batch_size, source.num_examples),
        skip_bad_images=skip_bad_images,
        report=report,
        **image_options(settings),
    )
    rows = list(_rows(model, data, source, settings["class_names"], top))
    for name, reason in sorted(data.bad_images.found.items()):
        print(f"Left out: {name} ({reason})", file=sys.stderr)
    if output is None:
        _print_table(rows)
    else:
        shared_options.write_json_lines(output, rows)


def _rows(model, data, source, class_names, top):
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    progress = track(
        data.epoch(),
        total=data.steps_per_epoch,
        console=Console(stderr=True),
        transient=True,
    )
    for images, numbers, weights in progress:
        scores = model.predict_on_batch(images)
        for number, weight, row in zip(
            numbers.numpy(), weights.numpy(), scores, strict=True
        ):
            name = str(source.files[number])
            if weight:
                best = np.argsort(-row, kind="stable")[:top]
                found = [
                    {"class": class_names[i], "probability": float(row[i])}
                    for i in best
                ]
                yield {"file": name, "predictions": found}


def _print_table(rows):
    from keras_sa.scripts.plain_console import print_rows

    table = []
    for row in rows:
        best, *others = row["predictions"]
        further = ", ".join(
            f"{other['class']} {other['probability']:.3f}" for other in others
        )
        table.append(
            {
                "file": row["file"],
                "class": best["class"],
                "probability": f"{best['probability']:.3f}",
                "further": further,
            }
        )
    print_rows(table)


if __name__ == "__main__":
    typer.run(predict)
