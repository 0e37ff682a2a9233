"""Runs a command of keras-sa in several processes of this machine."""

import sys
from typing import Annotated

import typer

# Those that train or evaluate with the strategy "multi_worker".
COMMANDS = ("train", "evaluate", "detect")


def launch(
    command: Annotated[
        list[str], typer.Argument(help="After --: the command, such as train ...")
    ],
    workers: Annotated[int, typer.Option(min=1, help="How many processes.")] = 2,
    gpus_per_worker: Annotated[
        int | None, typer.Option(min=1, help="Share the GPUs out.")
    ] = None,
    grace: Annotated[
        float, typer.Option(help="Seconds from SIGTERM to SIGKILL.")
    ] = 60.0,
    restarts: Annotated[
        int, typer.Option(min=0, help="Start all again after a failure.")
    ] = 0,
) -> None:
    """Runs a command in several processes that train together.

    When one fails the others are ended. SIGTERM and Ctrl-C are passed on: the
    processes save their state, and the exit code is 75.

    For example: keras-sa launch --workers 2 -- train --recipe fashion_mnist
    --strategy multi_worker --directory run
    """
    from keras_sa.training.cluster.launch import launch as run

    if command[0] not in COMMANDS:
        raise typer.BadParameter(f"the command must be one of {list(COMMANDS)}")
    program = [sys.executable, "-u", "-m", "keras_sa.scripts.main"]
    raise typer.Exit(
        run(
            [*program, *command],
            workers,
            gpus_per_worker=gpus_per_worker,
            grace=grace,
            restarts=restarts,
        )
    )


if __name__ == "__main__":
    typer.run(launch)
