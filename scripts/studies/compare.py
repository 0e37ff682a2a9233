"""Compares attention modules on a data set, over several seeds."""

import time
from pathlib import Path
from typing import Annotated

import typer

COLUMNS = ("arm", "seed", "accuracy", "loss", "training_seconds")


def compare(
    data: Annotated[
        str, typer.Argument(help="digits, fashion_mnist, folder:PATH, tfds:NAME...")
    ],
    directory: Annotated[Path, typer.Option(help="Where the results are kept.")],
    arm: Annotated[
        list[str] | None,
        typer.Option(help="none, se, bam, cbam, sge, eca, sa, sa_groups_4..."),
    ] = None,
    ablations: Annotated[
        bool, typer.Option(help="Compare variants of SA instead of modules.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each network.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Length of a run.")] = 5,
    images: Annotated[
        int | None, typer.Option(min=1, help="Only so many to train with.")
    ] = None,
    image_size: Annotated[int, typer.Option(min=8, help="Height and width.")] = 16,
    channels: Annotated[int, typer.Option(help="1 for grey, 3 for RGB.")] = 1,
    blocks: Annotated[str, typer.Option(help="Bottlenecks of each stage.")] = "1,1,1",
    width: Annotated[int, typer.Option(min=4, help="Channels of the stem.")] = 16,
    groups: Annotated[
        int, typer.Option(min=1, help="Of the modules that have groups.")
    ] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 64,
    learning_rate: Annotated[
        float, typer.Option(help="The highest; it falls as a cosine.")
    ] = 0.05,
    split: Annotated[str, typer.Option(help="Of the accuracy.")] = "test",
    validation_fraction: Annotated[
        float | None,
        typer.Option(help="Hold out so much of `train`, for `--split validation`."),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Of an operation; 0: all.")] = 0,
    runs: Annotated[
        int | None, typer.Option(min=0, help="At most so many runs now.")
    ] = None,
    costs: Annotated[bool, typer.Option(help="Also measure time and memory.")] = True,
) -> None:
    """Trains each network with each seed and reports what the runs carry.

    The same command again does the runs that are missing. Networks that share a seed
    see the same images in the same order.
    """
    import tensorflow as tf

    from keras_sa.data.loading import open_source
    from keras_sa.scripts.studies.compare_report import count_networks
    from keras_sa.scripts.studies.compare_report import measure_costs
    from keras_sa.scripts.studies.compare_report import report_comparison
    from keras_sa.study import ABLATIONS
    from keras_sa.study import MODULES
    from keras_sa.study import Arm
    from keras_sa.study import RunTable
    from keras_sa.study import get_arm
    from keras_sa.study import register_ablations
    from keras_sa.training.resuming.lock import only_training

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    register_ablations()
    names = arm or list(ABLATIONS if ablations else MODULES)
    arms: dict[str, Arm] = {}
    for name in names:
        made = get_arm(name, groups)
        # With 8 groups "sa" and "sa_groups_8" are the same network.
        if made not in arms.values():
            arms[name] = made
    network = {
        "blocks": _block_counts(blocks),
        "width": width,
        "stem": "small" if image_size < 64 else "imagenet",
    }
    settings = {
        "data": data,
        "split": split,
        "validation_fraction": validation_fraction,
        "images": images,
        "image_size": image_size,
        "channels": channels,
        "network": network,
        "groups": groups,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    classes = len(open_source(data, "train").class_names)
    # Builds them all: what doesn't fit is refused before hours of training.
    counts = count_networks(arms, settings, classes)
    with only_training(directory):
        table = RunTable(directory, settings, COLUMNS)
        done = {(row["arm"], int(row["seed"])) for row in table.rows}
        wanted = [(name, seed) for seed in range(seeds) for name in arms]
        missing = [run for run in wanted if run not in done][:runs]
        if missing:
            examples = {
                part: _examples(data, part, settings) for part in ("train", split)
            }
            train, trainings = _some(examples["train"], images), {}
            for name, seed in missing:
                if name not in trainings:
                    trainings[name] = _training(arms[name], settings, train)
                row = _run(trainings[name], seed, settings, train, examples[split])
                table.add({"arm": name, "seed": seed, **row})
                print(f"{name}, seed {seed}: {100 * row['accuracy']:.2f} %", flush=True)
        command = _command(settings, ablations, arm, seeds)
        if costs:
            measure_costs(directory, arms, settings, classes)
        report_comparison(directory, settings, arms, table, counts, command)


def _block_counts(blocks):
    counts = blocks.split(",")
    if not all(count.strip().isdecimal() for count in counts):
        raise typer.BadParameter(f"--blocks must be such as 1,1,1, not {blocks!r}")
    return tuple(int(count) for count in counts)


def _command(settings, ablations, arm, seeds):
    """What to call for the same runs."""
    network = settings["network"]
    options = {
        "--seeds": seeds,
        "--epochs": settings["epochs"],
        "--images": settings["images"],
        "--image-size": settings["image_size"],
        "--channels": settings["channels"],
        "--blocks": ",".join(str(count) for count in network["blocks"]),
        "--width": network["width"],
        "--groups": settings["groups"],
        "--batch-size": settings["batch_size"],
        "--learning-rate": settings["learning_rate"],
        "--split": settings["split"],
        "--validation-fraction": settings["validation_fraction"],
    }
    words = ["keras-sa compare", settings["data"], "--directory DIR"]
    words += ["--ablations"] * ablations + [f"--arm {name}" for name in arm or ()]
    words += [f"{name} {value}" for name, value in options.items() if value is not None]
    return " ".join(words)


def _examples(data, split, settings):
    """All images of a split, prepared, with their labels."""
    import numpy as np

    from keras_sa.data import load

    batches = load(
        data,
        split,
        image_size=settings["image_size"],
        channels=settings["channels"],
        batch_size=500,
        training=False,
        validation_fraction=settings["validation_fraction"] or 0.0,
    )
    parts = [
        (images[weights > 0], labels[weights > 0])
        for images, labels, weights in _weighed(batches)
    ]
    images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return images, labels, len(batches.class_names)


def _some(examples, count):
    """So many of the images, in their order: the first may be of one class."""
    import numpy as np

    images, labels, classes = examples
    if count is None or count >= len(images):
        return examples
    # The legacy generator: its numbers never change.
    chosen = np.sort(np.random.RandomState(0).permutation(len(images))[:count])
    return images[chosen], labels[chosen], classes


def _weighed(batches):
    """NumPy batches; rows that only fill up the last one have the weight 0."""
    import keras
    import numpy as np

    dataset = batches.dataset().take(batches.steps_per_epoch)
    for batch in dataset.as_numpy_iterator():
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        yield x, y, np.ones(len(x)) if weights is None else weights


def _training(arm, settings, train):
    import keras

    from keras_sa.applications import AttentionResNet
    from keras_sa.scripts.studies.compare_report import image_shape
    from keras_sa.scripts.studies.compare_report import network_options
    from keras_sa.study import RepeatedTraining

    images, _, classes = train
    rate = settings["learning_rate"]
    # A last batch that isn't full is left out.
    steps = max(1, len(images) // settings["batch_size"])
    total = steps * settings["epochs"]

    def optimizer():
        schedule = keras.optimizers.schedules.CosineDecay(
            rate / 10, total, warmup_target=rate, warmup_steps=total // 10
        )
        return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)

    return RepeatedTraining(
        lambda: AttentionResNet(
            input_shape=image_shape(settings), **network_options(arm, settings, classes)
        ),
        optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def _run(training, seed, settings, train, test):
    import tensorflow as tf

    from keras_sa.training.loss_watch import LossWatch

    model = training.begin(seed)
    images, labels, _ = train
    count = len(images)
    # The order depends on the seed alone, not on what a network has drawn.
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    dataset = dataset.shuffle(count, seed=seed)
    batch = min(settings["batch_size"], count)
    dataset = dataset.batch(batch, drop_remainder=True)
    # Its thread may keep a finished epoch waiting for as long as that took.
    autotune = tf.data.Options()
    autotune.autotune.enabled = False
    dataset = dataset.with_options(autotune)
    started = time.process_time()
    model.fit(
        dataset,
        epochs=settings["epochs"],
        callbacks=[LossWatch()],
        shuffle=False,
        verbose=0,
    )
    seconds = time.process_time() - started
    loss, accuracy = model.evaluate(*test[:2], batch_size=500, verbose=0)
    return {
        "accuracy": round(accuracy, 5),
        "loss": round(loss, 5),
        "training_seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    typer.run(compare)
