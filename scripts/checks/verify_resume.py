"""Shows that a training killed at any moment ends as if it had not been.

Trains a small network once undisturbed, then again while its processes are killed
with SIGKILL at random moments and started again, and compares the final weights.
With XLA every process takes batch statistics over its own images.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

TIMEOUT = 900.0
WORKERS = [1, 2]


def verify_resume(
    kills: Annotated[int, typer.Option(min=0, help="How often it is killed.")] = 20,
    workers: Annotated[
        list[int], typer.Option(min=1, help="Processes; each number is tried.")
    ] = WORKERS,
    epochs: Annotated[int, typer.Option(min=1, help="Length of the training.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the random moments.")] = 0,
    xla: Annotated[bool, typer.Option(help="With XLA in every process.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
    directory: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Kills trainings with -9 at random moments and compares their final weights.

    Exits with 1 if they are not those of an undisturbed training, bit for bit.
    """
    from keras_sa.scripts.benchmarks.report import report

    if directory is not None:
        _train(directory, epochs, xla)
        return
    rows = [
        _compare(count, kills, epochs, xla, random.Random(seed)) for count in workers
    ]
    report(f"Final weights of {epochs} epochs, 4 steps each", rows, csv)
    raise typer.Exit(any(row["verdict"] != "equal" for row in rows))


def _compare(workers, kills, epochs, xla, rng):
    """A row of the table: trainings that are killed against one that is not."""
    with tempfile.TemporaryDirectory() as root:
        expected, _ = _run(Path(root, "undisturbed"), workers, epochs, xla, None)
        killed = 0
        ended: list = []
        # A training may end between two kills: then another one is begun.
        while not ended or killed < kills:
            # Between the first step after the start and some epochs later.
            delay = rng.uniform(0.0, 1.5) if killed < kills else None
            victim = rng.randrange(workers)
            training = Path(root, f"training{len(ended)}")
            found, step = _run(training, workers, epochs, xla, delay, victim)
            if found is None:
                killed += 1
                print(f"killed worker {victim} of {workers} in step {step}", flush=True)
            else:
                ended.append(found)
    return {
        "processes": str(workers),
        "XLA": "yes" if xla else "no",
        "kills": str(killed),
        "trainings": str(len(ended)),
        "undisturbed (SHA-256)": expected[:16],
        "killed (SHA-256)": ", ".join(sorted({each[:16] for each in ended})),
        "verdict": "equal" if set(ended) == {expected} else "different",
    }


def _run(directory, workers, epochs, xla, delay, victim=0):
    """Starts a training and kills it after a delay.

    Returns:
        The hash of the final weights, or `None` if it was killed; and the step.
    """
    from keras_sa.training.cluster.launch import free_addresses
    from keras_sa.training.cluster.launch import worker_environment

    directory.mkdir(exist_ok=True)
    progress = directory / "progress"
    progress.unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", __file__, "--directory", str(directory)]
    addresses = free_addresses(workers)
    processes = []
    for index in range(workers):
        with (directory / f"error{index}").open("w") as errors:
            processes.append(
                subprocess.Popen(
                    [*command, "--epochs", str(epochs), f"--{'' if xla else 'no-'}xla"],
                    env=worker_environment(addresses, index) if workers > 1 else None,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                )
            )
    try:

        def ended():
            return all(process.poll() == 0 for process in processes)

        # One that was killed after its last step takes none any more.
        _wait(processes, lambda: progress.exists() or ended(), directory)
        if delay is not None:
            time.sleep(delay)
            if any(process.poll() is None for process in processes):
                processes[victim].send_signal(signal.SIGKILL)
                return None, progress.read_text()
        _wait(processes, ended, directory)
        return json.loads((directory / "result").read_text()), None
    finally:
        # The others can't go on without the one that was killed.
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes, condition, directory):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        failed = [i for i, process in enumerate(processes) if process.poll()]
        if failed or time.monotonic() > deadline:
            errors = "".join(file.read_text() for file in directory.glob("error*"))
            raise RuntimeError(f"Workers {failed} failed or hang:\n{errors}")
        time.sleep(0.02)


def _train(directory, epochs, xla):
    import keras
    import numpy as np

    from keras_sa.data import load
    from keras_sa.training import L2SGD
    from keras_sa.training import fit
    from keras_sa.training import make_strategy
    from keras_sa.training.cluster.strategy import is_chief

    strategy = make_strategy("multi_worker" if "TF_CONFIG" in os.environ else "single")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (29, 16, 16, 3), np.uint8)
    labels = rng.integers(0, 4, 29)
    data = load((images, labels), image_size=16, batch_size=8)
    with strategy.scope():
        keras.utils.set_random_seed(1)
        model = _network()
        model.compile(
            L2SGD(0.02, l2=1e-3, use_ema=True), "sparse_categorical_crossentropy"
        )

    class Progress(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if is_chief(strategy):
                (directory / "progress").write_text(f"{self.epoch}/{batch}")

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    fit(
        model,
        data,
        epochs,
        callbacks=[Progress()],
        verbose=0,
        directory=directory / "state",
        save_every=1,
        synchronized=not xla,
        jit_compile=xla,
    )
    if is_chief(strategy):
        state = [*model.variables, *model.optimizer.variables]
        digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in state))
        (directory / "result").write_text(json.dumps(digest.hexdigest()))


def _network():
    import keras

    from keras_sa.layers import ShuffleAttention

    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Conv2D(16, 3, use_bias=False)(images)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU()(ShuffleAttention(groups=4)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(images, keras.layers.Dense(4, activation="softmax")(x))


if __name__ == "__main__":
    typer.run(verify_resume)
