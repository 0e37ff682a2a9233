"""Fine-tuning a warm-started SA-ResNet against its source and a random start.

    python scripts/checks/study_warm_start.py --runs 3  # again until all are done

needs Debian's `dataset-fashion-mnist` and about six minutes of processor time. Results:
`results/warm_start/runs.csv`, `results/warm_start/README.md`. Running it again goes
on with the runs that are missing.

A small plain ResNet is trained on the first 8,000 images of Fashion-MNIST, averaged
to 14x14. Then three networks see the next 8,000 twice, in the same order and with the
same optimiser: the plain ResNet itself, an SA-ResNet that starts as it, and an
SA-ResNet that starts at random (with the learning rate the source had at its start).
"""

from pathlib import Path
from typing import Annotated

import typer

SOURCE_IMAGES = slice(0, 8_000)
TUNING_IMAGES = slice(8_000, 16_000)
BATCH = 128
SOURCE_EPOCHS = 3
TUNING_EPOCHS = 2
SOURCE_RATE = 0.05
TUNING_RATE = 0.02
SEEDS = (0, 1, 2)
# Attention, whether it starts from the source, and the learning rate.
ARMS = {
    "plain ResNet, fine-tuned": (None, True, TUNING_RATE),
    "SA-ResNet, warm start": ("sa", True, TUNING_RATE),
    "SA-ResNet, random start": ("sa", False, SOURCE_RATE),
}
COLUMNS = (
    "arm",
    "seed",
    "rate",
    "correct_start",
    "agree_start",
    "correct_end",
    "loss_end",
)


def study_warm_start(
    runs: Annotated[int, typer.Option(help="How many missing runs to do.")] = 9,
    output: Annotated[Path, typer.Option(help="Where the results are kept.")] = Path(
        "results/warm_start"
    ),
    source: Annotated[
        Path, typer.Option(help="Where the source network is kept.")
    ] = Path("demo/warm_start_source.npz"),
) -> None:
    """Compares fine-tuning from a warm start, from the source and from nothing."""
    from keras_sa.study import RunTable
    from keras_sa.utils.files import write_atomically

    if not source.is_file():
        _train_source(source)
    settings = {"batch": BATCH, "epochs": TUNING_EPOCHS, "source_epochs": SOURCE_EPOCHS}
    table = RunTable(output, settings, COLUMNS)
    done = {(row["arm"], int(row["seed"])) for row in table.rows}
    missing = [(arm, seed) for seed in SEEDS for arm in ARMS if (arm, seed) not in done]
    for arm, seed in missing[:runs]:
        table.add(_run(arm, seed, source))
        print(table.rows[-1])
    write_atomically(output / "README.md", _report(table.rows))


def _build(attention):
    from keras_sa.applications import AttentionResNet

    return AttentionResNet(
        attention=attention,
        attention_options={"groups": 8} if attention else None,
        blocks=(1, 1, 1),
        width=16,
        stem="small",
        input_shape=(14, 14, 1),
        classes=10,
        classifier_activation=None,
    )


def _images(part):
    from keras_sa.data.sources.fashion_mnist import DEBIAN_FOLDER
    from keras_sa.data.sources.fashion_mnist import read_idx

    images, labels = (
        read_idx(Path(DEBIAN_FOLDER) / f"{part}-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    # Means of 2x2 pixels: a quarter of the work.
    images = images.reshape(-1, 14, 2, 14, 2, 1).mean((2, 4))
    return ((images / 255.0 - 0.286) / 0.353).astype("float32"), labels


def _fit(model, rate, images, labels, epochs):
    import keras

    steps = epochs * -(-len(images) // BATCH)
    model.compile(
        optimizer=keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(rate, steps), momentum=0.9
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(images, labels, BATCH, epochs, verbose=0)
    return history.history["loss"][-1]


def _train_source(path):
    import keras

    from keras_sa.weights import export_weights

    keras.utils.set_random_seed(100)
    images, labels = _images("train")
    model = _build(None)
    chosen = images[SOURCE_IMAGES], labels[SOURCE_IMAGES]
    _fit(model, SOURCE_RATE, *chosen, SOURCE_EPOCHS)
    export_weights(model, path)


def _run(arm, seed, source):
    import keras

    from keras_sa.weights import load_checkpoint

    attention, warm, rate = ARMS[arm]
    images, labels = _images("train")
    test_images, test_labels = _images("t10k")

    def predict(model):
        return model.predict(test_images, 500, verbose=0).argmax(-1)

    reference = _build(None)
    load_checkpoint(reference, source)
    keras.utils.set_random_seed(seed)
    model = _build(attention)
    if warm:
        load_checkpoint(model, source)
    start = predict(model)
    # The order of the images is drawn now: the same for all arms of a seed.
    keras.utils.set_random_seed(seed)
    chosen = images[TUNING_IMAGES], labels[TUNING_IMAGES]
    loss = _fit(model, rate, *chosen, TUNING_EPOCHS)
    return {
        "arm": arm,
        "seed": seed,
        "rate": rate,
        "correct_start": int((start == test_labels).sum()),
        "agree_start": int((start == predict(reference)).sum()),
        "correct_end": int((predict(model) == test_labels).sum()),
        "loss_end": round(loss, 4),
    }


def _report(rows):
    import statistics

    from keras_sa.scripts.benchmarks.report import machine

    lines = [
        "# Fine-tuning from a warm start",
        "",
        "Made by `python scripts/checks/study_warm_start.py`, which says what was "
        "compared.",
        f"{machine()}.",
        "",
        "Fashion-MNIST test images classified correctly, in percent of 10,000.",
        "`agree`: test images with the source's answer before tuning.",
        "",
        "| start | rate | agree | before | after, by seed | mean after |",
        "|---|---:|---:|---:|---|---:|",
    ]
    for arm in ARMS:
        own = [row for row in rows if row["arm"] == arm]
        if not own:
            continue
        after = [int(row["correct_end"]) / 100 for row in own]
        before = sorted({int(row["correct_start"]) / 100 for row in own})
        agree = sorted({int(row["agree_start"]) for row in own})
        lines.append(
            f"| {arm} | {own[0]['rate']} | {' '.join(map(str, agree))} "
            f"| {' '.join(f'{value:.2f}' for value in before)} "
            f"| {' '.join(f'{value:.2f}' for value in after)} "
            f"| {statistics.mean(after):.2f} |"
        )
    differences = _differences(rows)
    if differences:
        lines += [
            "",
            "Warm start minus plain ResNet after tuning, by seed: "
            f"{' '.join(f'{value:+.2f}' for value in differences)}; mean "
            f"{statistics.mean(differences):+.2f}. The seeds change the order of the "
            "images only. The random start has seen half as many images in all.",
        ]
    return "\n".join(lines) + "\n"


def _differences(rows):
    """Points by which the warm start is above the fine-tuned source, by seed."""
    correct = {(row["arm"], int(row["seed"])): int(row["correct_end"]) for row in rows}
    plain, warm, _ = ARMS
    return [
        (correct[warm, seed] - correct[plain, seed]) / 100
        for seed in SEEDS
        if (warm, seed) in correct and (plain, seed) in correct
    ]


if __name__ == "__main__":
    typer.run(study_warm_start)
