"""Serves an exported model on this machine, without Docker."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    directory: Annotated[Path, typer.Argument(help="A model's directory.")],
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")
    ] = 8501,
    name: Annotated[
        str | None, typer.Option(help="The model's name. Default: the directory's.")
    ] = None,
):
    """Serves the highest version of a model with KServe on 127.0.0.1."""
    from keras_sa.serving.local_server import serve as run

    run(directory, port, name)


if __name__ == "__main__":
    typer.run(serve)
