"""keras-sa figures: the paper's pictures, from small networks."""

import json
from pathlib import Path
from typing import Annotated
from typing import Any

import typer

IMAGE_SIZE = 28
BATCH = 64
LEARNING_RATE = 2e-3
# Arguments of AttentionResNet by the names in the figures. The paper's SANet50B is
# the network without shuffle.
NETWORKS: dict[str, dict[str, Any]] = {
    "SA": {"attention": "sa", "attention_options": {"groups": 32}},
    "SA without shuffle": {
        "attention": "sa",
        "attention_options": {"groups": 32, "shuffle": False},
    },
    "no attention": {"attention": None},
}
SHAPE: dict[str, Any] = {"blocks": (1, 1, 1, 1), "width": 16, "stem": "small"}


def figures(
    output: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path(
        "results/figures"
    ),
    networks: Annotated[
        Path, typer.Option(help="Where the trained networks are kept.")
    ] = Path("demo/figures"),
    data: Annotated[
        str, typer.Option(help="As for keras-sa train; taken as grey 28x28.")
    ] = "fashion_mnist",
    steps: Annotated[
        int, typer.Option(help="Training steps of 64 images.", min=1)
    ] = 400,
    seeds: Annotated[int, typer.Option(help="Networks of each kind.", min=1)] = 3,
) -> None:
    """Draws group scores, class activations by depth and Grad-CAM.

    Three kinds of small bottleneck networks are compared: with shuffle attention,
    with shuffle attention without its shuffle, and without attention. What is trained
    and measured is kept: called again, the command goes on where it stopped.
    """
    from keras_sa.data import load
    from keras_sa.scripts.benchmarks.report import report
    from keras_sa.scripts.studies.figures_drawing import draw
    from keras_sa.scripts.studies.figures_measurement import summary

    options: dict[str, Any] = {
        "image_size": IMAGE_SIZE,
        "channels": 1,
        "batch_size": BATCH,
    }
    _check_settings(networks, {"data": data, "steps": steps})
    test = load(data, "test", **options)
    measured = {}
    for seed in range(seeds):
        for name in NETWORKS:
            path = networks / f"{name.replace(' ', '_')}_{seed}"
            measured[name, seed] = _measured(path, name, seed, data, test, steps)
    report(
        f"{len(measured)} networks, {steps} steps of {BATCH} images",
        summary(measured),
        output / "numbers.csv",
    )
    for path in draw(measured, test.class_names, output):
        typer.echo(path)


def _check_settings(folder, settings):
    """Networks of other settings must not be taken for those that are asked for."""
    path = folder / "settings.json"
    if path.is_file():
        found = json.loads(path.read_text())
        if found != settings:
            raise ValueError(
                f"The networks in {str(folder)!r} were made with {found}: give another "
                f"--networks. Received: {settings}"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings) + "\n")


def _measured(path, name, seed, data, test, steps):
    """What was measured at a network; trains and measures it if it is missing."""
    import keras
    import numpy as np

    from keras_sa.scripts.studies.figures_measurement import measure
    from keras_sa.utils.files import write_atomically

    arrays = path.with_suffix(".npz")
    if not arrays.is_file():
        file = path.with_suffix(".keras")
        if file.is_file():
            model = keras.saving.load_model(file, compile=False)
        else:
            typer.echo(f"training: {name}, seed {seed}")
            model = _train(name, seed, data, steps, file)
        typer.echo(f"measuring: {name}, seed {seed}")
        write_atomically(arrays, _npz(measure(model, test)))
    with np.load(arrays) as stored:
        return dict(stored)


def _npz(arrays):
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _train(name, seed, data, steps, path):
    import keras

    from keras_sa.applications import AttentionResNet
    from keras_sa.data import Augmentation
    from keras_sa.data import load
    from keras_sa.recipes.training_session import save_model
    from keras_sa.training.loss_watch import LossWatch

    images = load(
        data,
        "train",
        image_size=IMAGE_SIZE,
        channels=1,
        batch_size=BATCH,
        seed=seed,
        augmentation=Augmentation(scale=(0.85, 1.0), ratio=(0.9, 1.1)),
    )
    keras.utils.set_random_seed(seed)
    model = AttentionResNet(
        weights=None,
        input_shape=images.image_shape,
        classes=len(images.class_names),
        **SHAPE,
        **NETWORKS[name],
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps,
        warmup_target=LEARNING_RATE,
        warmup_steps=max(1, steps // 10),
    )
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
    )
    # The data set is in its order already.
    model.fit(
        images.dataset(),
        steps_per_epoch=steps,
        callbacks=[LossWatch()],
        shuffle=False,
        verbose=2,
    )
    save_model(model, path)
    return model


if __name__ == "__main__":
    typer.run(figures)
