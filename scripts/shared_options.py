"""Options that several commands have."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option(help="Where everything is written.")]
Trained = Annotated[Path, typer.Argument(help="Of a finished training.")]
Strategy = Annotated[str, typer.Option(help="auto, single, mirrored or multi_worker.")]
Replicas = Annotated[
    int | None, typer.Option(min=1, help="With mirrored: how many devices.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")]
GlobalBatch = Annotated[
    int | None, typer.Option(min=1, help="Of all devices together.")
]
LearningRate = Annotated[
    float | None,
    typer.Option(help="Instead of the recipe's in proportion to the batch."),
]
Policy = Annotated[str | None, typer.Option(help="Keras' dtype policy.")]
Seed = Annotated[int, typer.Option(help="Of the weights and the images.")]
SaveEvery = Annotated[
    int | None, typer.Option(min=1, help="In steps, beside every epoch.")
]
Restart = Annotated[
    bool, typer.Option(help="Delete the training that the directory holds.")
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for other workers.")]
Backend = Annotated[str, typer.Option(help="pycocotools, faster_coco_eval or hotcoco.")]
Depth = Annotated[int, typer.Option(help="50, 101 or 152.")]
INFERENCE_BATCHES = [1, 8]
InferenceBatches = Annotated[list[int], typer.Option(min=1, help="Inference batches.")]
StepBatch = Annotated[int, typer.Option(min=1, help="Batch of a step.")]
Side = Annotated[int, typer.Option(min=1, help="Height and width of the images.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed rounds.")]
Csv = Annotated[Path | None, typer.Option(help="Also write a CSV file.")]

STANDARD_OUTPUT = Path("-")


def _prepared(output: Path | None) -> Path | None:
    """Makes the file's folder before the work begins, or says why it can't."""
    if output is None or output == STANDARD_OUTPUT:
        return output
    if output.is_dir():
        raise typer.BadParameter(f"{str(output)!r} is a folder; name a file in it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(str(error)) from error
    if not os.access(output.parent, os.W_OK):
        raise typer.BadParameter(f"nothing can be written in {str(output.parent)!r}")
    return output


def _picture(output: Path | None) -> Path | None:
    """Says before the work begins why a picture can't be drawn."""
    if output is None:
        return None
    if output.suffix.lower() != ".png":
        raise typer.BadParameter(f"{str(output)!r} must end in '.png'")
    _prepared(output)
    from keras_sa.utils.extras import require_extra

    require_extra("matplotlib", "visualization")
    return output


JsonLines = Annotated[
    Path | None,
    typer.Option(
        help="JSON lines instead of the table; - for the standard output.",
        callback=_prepared,
    ),
]

Picture = Annotated[
    Path | None,
    typer.Option(
        help="A PNG file: images, what is right and what is answered.",
        callback=_picture,
    ),
]


def write_json_lines(output: Path, rows: list[dict]) -> None:
    """Writes the rows where an option of the type `JsonLines` says."""
    from keras_sa.utils.files import write_atomically

    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if output == STANDARD_OUTPUT:
        sys.stdout.write(lines)
    elif output.exists() and not output.is_file():
        # A pipe or a device, such as /dev/null, must not be replaced by a file.
        output.write_text(lines)
    else:
        write_atomically(output, lines)
