"""Detectors: training, evaluation, prediction and export."""

import typer

from keras_sa.scripts.detect.evaluate import evaluate
from keras_sa.scripts.detect.export import export
from keras_sa.scripts.detect.predict import predict
from keras_sa.scripts.detect.train import train

app = typer.Typer(
    no_args_is_help=True, help="Train and use detectors: boxes, and masks too."
)
for command in (train, evaluate, predict, export):
    app.command()(command)

if __name__ == "__main__":
    app()
