"""`keras-sa`: all commands under one name."""

import typer

from keras_sa.scripts import benchmark
from keras_sa.scripts.convert import convert
from keras_sa.scripts.demo import demo

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="SA-Net (shuffle attention) for Keras 3 and TensorFlow.",
)
app.command()(demo)
app.command()(convert)
app.add_typer(benchmark.app, name="benchmark")

if __name__ == "__main__":
    app()
