"""Compares attention modules on a data set, over several seeds."""

import os
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

    from keras_sa.study import ABLATIONS
    from keras_sa.study import MODULES
    from keras_sa.study import RunTable
    from keras_sa.study import get_arm
    from keras_sa.study import register_ablations

    try:
        register_ablations()
        names = arm or list(ABLATIONS if ablations else MODULES)
        arms = {name: get_arm(name, groups) for name in names}
        network = {
            "blocks": tuple(int(count) for count in blocks.split(",")),
            "width": width,
            "stem": "small" if image_size < 64 else "imagenet",
        }
        settings = {
            "data": data,
            "split": split,
            "images": images,
            "image_size": image_size,
            "channels": channels,
            "network": network,
            "groups": groups,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        }
        table = RunTable(directory, settings, COLUMNS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    done = {(row["arm"], int(row["seed"])) for row in table.rows}
    wanted = [(name, seed) for seed in range(seeds) for name in arms]
    missing = [run for run in wanted if run not in done][:runs]
    if missing:
        examples = {
            part: _examples(data, part, image_size, channels)
            for part in ("train", split)
        }
        for name, seed in missing:
            row = _run(arms[name], seed, settings, examples["train"], examples[split])
            table.add({"arm": name, "seed": seed, **row})
            print(f"{name}, seed {seed}: {100 * row['accuracy']:.2f} %", flush=True)
    _report(directory, settings, arms, table, costs)


def _examples(data, split, image_size, channels):
    """All images of a split, prepared, with their labels."""
    import numpy as np

    from keras_sa.data import load

    batches = load(
        data,
        split,
        image_size=image_size,
        channels=channels,
        batch_size=500,
        training=False,
    )
    parts = [
        (images[weights > 0], labels[weights > 0])
        for images, labels, weights in _weighed(batches)
    ]
    images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return images, labels, len(batches.class_names)


def _weighed(batches):
    """NumPy batches; rows that only fill up the last one have the weight 0."""
    import keras
    import numpy as np

    dataset = batches.dataset().take(batches.steps_per_epoch)
    for batch in dataset.as_numpy_iterator():
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        yield x, y, np.ones(len(x)) if weights is None else weights


def _options(arm, settings, classes):
    """Keyword arguments of `AttentionResNet`."""
    return {
        "attention": arm.attention,
        "attention_options": dict(arm.options) or None,
        "classes": classes,
        **settings["network"],
    }


def _shape(settings):
    return (settings["image_size"], settings["image_size"], settings["channels"])


def _run(arm, seed, settings, train, test):
    import keras
    import tensorflow as tf

    from keras_sa.applications import AttentionResNet

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    images, labels, classes = train
    count = min(settings["images"] or len(images), len(images))
    model = AttentionResNet(
        input_shape=_shape(settings), **_options(arm, settings, classes)
    )
    batch = settings["batch_size"]
    steps = max(1, count // batch)
    total = steps * settings["epochs"]
    rate = settings["learning_rate"]
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, total, warmup_target=rate, warmup_steps=total // 10
    )
    model.compile(
        keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # The order depends on the seed alone, not on what a network has drawn.
    dataset = tf.data.Dataset.from_tensor_slices((images[:count], labels[:count]))
    dataset = dataset.shuffle(count, seed=seed).batch(batch, drop_remainder=True)
    # Its thread may keep a finished epoch waiting for as long as that took.
    autotune = tf.data.Options()
    autotune.autotune.enabled = False
    dataset = dataset.with_options(autotune)
    started = time.process_time()
    model.fit(dataset, epochs=settings["epochs"], shuffle=False, verbose=0)
    seconds = time.process_time() - started
    loss, accuracy = model.evaluate(*test[:2], batch_size=500, verbose=0)
    return {
        "accuracy": round(accuracy, 5),
        "loss": round(loss, 5),
        "training_seconds": round(seconds, 1),
    }


def _report(directory, settings, arms, table, costs):
    from keras_sa.scripts.benchmark_report import machine
    from keras_sa.study import write_report

    results = {}
    for name in arms:
        found = {
            int(row["seed"]): float(row["accuracy"])
            for row in table.rows
            if row["arm"] == name
        }
        if found:
            results[name] = found
    if not results:
        print("no runs yet")
        return
    counted = _counts(arms, settings, results)
    if costs:
        _measure(directory, arms, settings)
    _add_measured(directory, counted)
    network = settings["network"]
    size = settings["image_size"]
    title = f"Attention modules on {settings['data']}"
    description = [
        f"{settings['images'] or 'All'} training images of {size}x{size}, "
        f"{settings['epochs']} epochs of batches of {settings['batch_size']}; "
        f"bottlenecks {network['blocks']}, width {network['width']}, "
        f"{settings['groups']} groups; SGD with Nesterov momentum 0.9 and a rate that "
        f"rises to {settings['learning_rate']} and falls as a cosine; accuracy of the "
        f"split {settings['split']!r}. Every run is in `runs.csv`, all settings in "
        "`settings.json`.",
        f"Machine: {machine()}.",
    ]
    print(write_report(directory, title, results, counted, description))


def _counts(arms, settings, results):
    import keras

    from keras_sa.applications import AttentionResNet
    from keras_sa.utils import count_flops

    counts = {}
    for name in results:
        keras.backend.clear_session()
        model = AttentionResNet(
            input_shape=_shape(settings), **_options(arms[name], settings, 10)
        )
        counts[name] = {
            "parameters": model.count_params(),
            "million multiply-adds": round(count_flops(model) / 1e6, 3),
        }
    return counts


def _measure(directory, arms, settings):
    """Times and memory, each divided by that of the first network."""
    from keras_sa.scripts.benchmark_report import report
    from keras_sa.scripts.network_costs import cost_rows

    variants = {name: _options(arm, settings, 10) for name, arm in arms.items()}
    first = next(iter(variants))
    batch = settings["batch_size"]
    rows = cost_rows(variants, first, _shape(settings), (1, batch), batch)
    report(f"Costs, as multiples of {first}", rows, directory / "costs.csv")


def _add_measured(directory, counted):
    """Adds the ratios of `costs.csv`, if they were measured, to the table."""
    import csv

    path = directory / "costs.csv"
    if not path.is_file():
        return
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["variant"] in counted:
                column = f"{row['measured']}, ratio"
                counted[row["variant"]][column] = float(row["median ratio"])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    typer.run(compare)
