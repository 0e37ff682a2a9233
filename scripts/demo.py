"""`keras-sa demo`: train on real images, evaluate, export, load back, classify."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated
from typing import Any

import typer

IMAGE_SIZE = 32
CLASSIFIED_FILES = 12
# Arguments of AttentionResNet.
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {
        "blocks": (1, 1, 1, 1),
        "width": 32,
        "stem": "small",
        "attention_options": {"groups": 16},
    },
    "sa_resnet50": {"depth": 50},
}


def demo(
    dataset: Annotated[
        str, typer.Option(help="digits, tfds:NAME or folder:PATH.")
    ] = "digits",
    network: Annotated[str, typer.Option(help="small or sa_resnet50.")] = "small",
    replicas: Annotated[
        int, typer.Option(help="Logical CPU devices where there is no GPU.", min=1)
    ] = 2,
    epochs: Annotated[int, typer.Option(help="Passes over the images.", min=1)] = 8,
    batch_size: Annotated[int, typer.Option(help="Of all replicas together.")] = 48,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "demo"
    ),
) -> None:
    """Trains an SA-ResNet on real images with tf.distribute and serves it.

    The default data set are scikit-learn's digits: nothing is downloaded.
    """
    if network not in NETWORKS:
        raise typer.BadParameter(
            f"--network must be one of {list(NETWORKS)}. Received: {network}"
        )
    import tensorflow as tf

    import keras_sa.data
    from keras_sa.serving import export
    from keras_sa.training import make_strategy
    from keras_sa.training.loss_watch import LossWatch

    gpus = tf.config.list_physical_devices("GPU")
    strategy = make_strategy("mirrored", replicas=None if gpus else replicas)
    if batch_size % strategy.num_replicas_in_sync:
        raise typer.BadParameter(
            "--batch-size must be a multiple of the replicas. Received: "
            f"{batch_size} for {strategy.num_replicas_in_sync} replicas"
        )
    # Digits must not be mirrored, and little of them may be cut off.
    augmentation = keras_sa.data.Augmentation(scale=(0.7, 1.0), flip=False)
    settings: dict[str, Any] = {
        "image_size": IMAGE_SIZE,
        "batch_size": batch_size,
        "augmentation": augmentation,
    }
    train = keras_sa.data.load(dataset, "train", **settings)
    test = keras_sa.data.load(dataset, "test", **settings)
    typer.echo(
        f"{dataset}: {train.num_examples} images to train, {test.num_examples} to "
        f"test, {len(train.class_names)} classes; {strategy.num_replicas_in_sync} "
        "replicas"
    )

    model = build(network, len(train.class_names), train, epochs, strategy)
    start = time.perf_counter()
    model.fit(
        train.dataset(epochs=epochs),
        steps_per_epoch=train.steps_per_epoch,
        epochs=epochs,
        shuffle=False,  # the data set is in its order already
        callbacks=[LossWatch()],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    images_per_second = epochs * train.num_examples / (time.perf_counter() - start)

    output.mkdir(parents=True, exist_ok=True)
    model.save(output / "model.keras")
    exported = export(
        model,
        output / "serving",
        labels=train.class_names,
        crop_ratio=test.preparation.crop_ratio,
        force=True,
    )
    scores, labels = evaluate(model, test)
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    files = write_images(test, output / "images")
    classified = classify(exported, files)
    figures = draw(output, scores, labels, test, files, classified)
    right = sum(line["label"] == path.stem.split("_")[0] for path, line in classified)
    summarize(
        {
            "network": f"{model.name}, {model.count_params():,} parameters",
            "accuracy": f"{accuracy:.2%} of {len(labels)} held-out images",
            "training speed": f"{images_per_second:.0f} images/s, with start-up",
            "from the SavedModel": f"{right} of {len(classified)} image files right, "
            "with TensorFlow alone",
            "Keras model": str(output / "model.keras"),
            "SavedModel": str(exported),
            "pictures": ", ".join(map(str, figures)),
        }
    )


def build(network, classes, data, epochs, strategy):
    """Makes and compiles the network in the strategy's scope."""
    import keras

    from keras_sa.applications import AttentionResNet
    from keras_sa.training import prepare

    steps = epochs * data.steps_per_epoch
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = AttentionResNet(
            **NETWORKS[network],
            weights=None,
            input_shape=data.image_shape,
            classes=classes,
        )
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            steps,
            warmup_target=1e-3,
            warmup_steps=steps // 10,
        )
        model.compile(
            keras.optimizers.Adam(schedule),
            "sparse_categorical_crossentropy",
            weighted_metrics=["accuracy"],
        )
    return prepare(model)


def evaluate(model, test):
    """The scores and the labels of all test images."""
    import numpy as np

    scores = model.predict(test.epoch(), verbose=0)
    batches = [(y.numpy(), w.numpy()) for _, y, w in test.epoch()]
    labels, weights = (np.concatenate(part) for part in zip(*batches, strict=True))
    # Rows of weight 0 only fill up the last batch; `predict` leaves them out.
    return scores, labels[weights > 0]


def write_images(test, folder):
    """Writes some test images as PNG and JPEG files, named after their class."""
    import dataclasses

    import keras

    folder.mkdir(parents=True, exist_ok=True)
    pixels = dataclasses.replace(
        test,
        preparation=dataclasses.replace(test.preparation, mean=None, std=None),
        uint8=True,
    )
    images, labels, _ = next(iter(pixels.epoch()))
    paths = []
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        if index == CLASSIFIED_FILES:
            break
        suffix = "png" if index % 2 else "jpg"
        path = folder / f"{test.class_names[int(label)]}_{index}.{suffix}"
        keras.utils.save_img(path, image.numpy(), scale=False)
        paths.append(path)
    return paths


def classify(exported, files):
    """Asks the SavedModel in a fresh process that can't import keras_sa or Keras."""
    script = Path(__file__).with_name("classify_saved_model.py")
    output = subprocess.run(
        [sys.executable, script, exported, *files],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    return list(zip(files, lines, strict=True))


def draw(output, scores, labels, test, files, classified):
    """Writes the pictures; returns their paths."""
    import keras

    from keras_sa.visualization import confusion_matrix_figure
    from keras_sa.visualization import predictions_figure

    figures = {
        "confusion_matrix.png": confusion_matrix_figure(
            labels, scores.argmax(axis=1), test.class_names
        ),
        "predictions.png": predictions_figure(
            [keras.utils.img_to_array(keras.utils.load_img(path)) for path in files],
            [path.stem.split("_")[0] for path in files],
            [line["label"] for _, line in classified],
            [line["score"] for _, line in classified],
        ),
    }
    for name, figure in figures.items():
        figure.savefig(output / name, dpi=120)
    return [output / name for name in figures]


def summarize(rows):
    from rich.table import Table

    from keras_sa.scripts.plain_console import plain_console

    table = Table("", "", title="keras-sa demo", show_header=False)
    for row in rows.items():
        table.add_row(*row)
    plain_console().print(table)


if __name__ == "__main__":
    typer.run(demo)
