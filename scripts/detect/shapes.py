"""Writes a small COCO data set of discs, squares and triangles."""

from pathlib import Path
from typing import Annotated

import typer


def shapes(
    directory: Annotated[Path, typer.Argument(help="Where to.")],
    images: Annotated[int, typer.Option(help="To train on.")] = 400,
    validation: Annotated[int, typer.Option(help="To validate on.")] = 100,
    size: Annotated[int, typer.Option(help="Sides are within a quarter of it.")] = 128,
    objects: Annotated[int, typer.Option(help="At most so many in a picture.")] = 5,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 0,
) -> None:
    """Writes pictures and COCO annotations: boxes, polygons, RLE, a crowd."""
    from keras_sa.data.coco import Shapes
    from keras_sa.data.coco import write_shapes

    settings = Shapes(images, validation, size, objects, seed)
    write_shapes(directory, settings)
    print(f"{images} + {validation} pictures with annotations in {directory}")


if __name__ == "__main__":
    typer.run(shapes)
