"""`keras-sa`: all commands under one name."""

from typing import Annotated

import typer

from keras_sa.scripts.benchmarks import main as benchmark
from keras_sa.scripts.client import client
from keras_sa.scripts.convert import convert
from keras_sa.scripts.demo import demo
from keras_sa.scripts.detect import main as detect
from keras_sa.scripts.detect.shapes import shapes
from keras_sa.scripts.evaluate import evaluate
from keras_sa.scripts.explain import explain
from keras_sa.scripts.export import export
from keras_sa.scripts.launch import launch
from keras_sa.scripts.predict import predict
from keras_sa.scripts.quiet_tensorflow import quiet_tensorflow
from keras_sa.scripts.serve import serve
from keras_sa.scripts.studies.compare import compare
from keras_sa.scripts.studies.figures import figures
from keras_sa.scripts.train import train
from keras_sa.scripts.user_errors import UserErrors
from keras_sa.scripts.weights import weights

app = typer.Typer(
    cls=UserErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="SA-Net (shuffle attention) for Keras 3 and TensorFlow.",
)
# By what they are for, in this order.
COMMANDS = {
    "Try": (demo, shapes),
    "Train": (train, launch, evaluate),
    "Use": (predict, explain, convert, weights),
    "Serve": (export, serve, client),
    "Study": (compare, figures),
}
for purpose, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=purpose)(command)
app.add_typer(detect.app, name="detect", rich_help_panel="Train")
app.add_typer(benchmark.app, name="benchmark", rich_help_panel="Study")


@app.callback()
def main(
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            help="Print where an error of the input was found, and what TensorFlow "
            "says as it starts.",
        ),
    ] = False,
) -> None:
    if not traceback:
        quiet_tensorflow()


if __name__ == "__main__":
    app()
