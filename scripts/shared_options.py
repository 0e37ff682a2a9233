"""Options that several commands have."""

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
InferenceBatches = Annotated[list[int], typer.Option(min=1, help="Inference batches.")]
StepBatch = Annotated[int, typer.Option(min=1, help="Batch of a step.")]
Side = Annotated[int, typer.Option(min=1, help="Height and width of the images.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed rounds.")]
Csv = Annotated[Path | None, typer.Option(help="Also write a CSV file.")]
