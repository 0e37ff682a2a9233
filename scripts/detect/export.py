"""Exports a trained detector for TF Serving."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options


def export(
    directory: shared_options.Trained,
    output: Annotated[Path, typer.Argument(help="The model's directory.")],
    version: Annotated[int, typer.Option(min=1, help="Number of the version.")] = 1,
    server_files: Annotated[
        bool, typer.Option(help="Add warm-up requests and TF Serving's settings.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace an existing version.")] = False,
) -> None:
    """Writes a SavedModel that answers image files with detections."""
    from keras_sa.recipes.detector_session import image_options
    from keras_sa.recipes.detector_session import load_detector
    from keras_sa.serving import export_detector
    from keras_sa.serving import write_server_files

    model, settings = load_detector(directory)
    path = export_detector(
        model,
        output,
        version,
        labels=settings["class_names"],
        warmup=server_files,
        force=force,
        **image_options(settings),
    )
    if server_files:
        write_server_files(output, force)
    print(path)


if __name__ == "__main__":
    typer.run(export)
