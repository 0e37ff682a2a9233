"""Asks a running server what is on images."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts.user_errors import refuse_given

# TF Serving takes no more at once: see `max_batch_size` in `batching.config`.
BATCH = 32


def client(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    name: Annotated[str, typer.Option(help="The model's name.")],
    url: Annotated[
        str, typer.Option(help="Server of the REST protocol.")
    ] = "http://127.0.0.1:8501",
    grpc: Annotated[
        str | None, typer.Option(help="Host and port: use TF Serving's gRPC instead.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to print.")] = 3,
):
    """Classifies image files with a running KServe or TF Serving."""
    if grpc:
        refuse_given(context, ["url"], "REST, and `--grpc` has an address")

    from keras_sa.serving.client import predict_grpc
    from keras_sa.serving.client import predict_rest

    for start in range(0, len(images), BATCH):
        some = images[start : start + BATCH]
        files = [image.read_bytes() for image in some]
        if grpc:
            predictions = predict_grpc(files, name, grpc)
        else:
            predictions = predict_rest(files, name, url)
        for image, prediction in zip(some, predictions, strict=True):
            _print(image, prediction, top)


def _print(image, prediction, top):
    pairs = zip(prediction["labels"], prediction["scores"], strict=True)
    # A detector's answers are filled up with empty labels.
    found = [f"{label} {score:.3f}" for label, score in pairs if label][:top]
    best = ", ".join(found) or "nothing found"
    typer.echo(
        f"{image}: {best if prediction['valid'] else 'not an image, or too large'}"
    )


if __name__ == "__main__":
    typer.run(client)
