"""Detectors: training, evaluation and prediction."""

import typer

from keras_sa.scripts.detect_evaluate import evaluate
from keras_sa.scripts.detect_predict import predict
from keras_sa.scripts.detect_train import train

app = typer.Typer(
    no_args_is_help=True, help="Train and use detectors: boxes, and masks too."
)
for command in (train, evaluate, predict):
    app.command()(command)

if __name__ == "__main__":
    app()
