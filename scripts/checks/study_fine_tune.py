"""The recipe `fine_tune` from several starts: never below its head alone.

    python scripts/checks/study_fine_tune.py  # again until all runs are done

needs Debian's `dataset-fashion-mnist`. Results: `results/fine_tune/runs.csv` and
`results/fine_tune/README.md`. Running it again goes on with the runs that are missing.

Two networks are trained on the first five classes of Fashion-MNIST, with the published
recipe's optimizer. Then the recipe `fine_tune` trains each for the other five, on 20,
60 and 500 images in batches of 16, as `keras-sa train` does. The same test images of
these classes are told apart after the stage of the head, and after all; for the small
network also by a head that is trained alone for as many epochs as both stages have.
"""

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

# Name: builder, its arguments, image size, images and epochs of its own training.
BASES = {
    "small": (
        "AttentionResNet",
        {
            "blocks": (1, 1, 1),
            "width": 16,
            "stem": "small",
            "attention_options": {"groups": 4},
        },
        28,
        6_000,
        2,
    ),
    "SAResNet50": ("SAResNet50", {}, 40, 2_000, 2),
}
SIZES = (20, 60, 500)
SEEDS = (0, 1, 2)
TEST_IMAGES = 500
BATCH = 16
CLASSES = 5
# For whose head alone there is time.
HEAD_ALONE = ("small",)
COLUMNS = (
    "base",
    "images",
    "seed",
    "after_head",
    "head_alone",
    "after_all",
    "seconds",
)


def study_fine_tune(
    runs: Annotated[int, typer.Option(help="How many missing runs to do.")] = 18,
    base: Annotated[
        str | None, typer.Option(help="Only from one of the two networks.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the results are kept.")] = Path(
        "results/fine_tune"
    ),
    bases: Annotated[
        Path, typer.Option(help="Where the networks to begin with are kept.")
    ] = Path("demo/fine_tune"),
) -> None:
    """Fine-tunes two networks on few images, over several seeds."""
    from keras_sa.study import RunTable

    settings = {"sizes": SIZES, "test_images": TEST_IMAGES, "batch": BATCH}
    table = RunTable(output, settings, COLUMNS)
    done = {(row["base"], row["images"], row["seed"]) for row in table.rows}
    chosen = [base] if base else BASES
    wanted = [(b, size, seed) for b in chosen for seed in SEEDS for size in SIZES]
    missing = [run for run in wanted if tuple(map(str, run)) not in done]
    for name, images, seed in missing[:runs]:
        weights = bases / f"{name}.keras"
        if not weights.is_file():
            _train_base(name, weights)
        table.add(_run(name, weights, images, seed))
        print(table.rows[-1], flush=True)
    (output / "README.md").write_text(_report(table.rows))


def _images(base, part, first_class, count, seed=0):
    """As many images of each of the five classes, and their labels from 0."""
    import numpy as np

    from keras_sa.data.sources.fashion_mnist import DEBIAN_FOLDER
    from keras_sa.data.sources.fashion_mnist import read_idx

    images, labels = (
        read_idx(Path(DEBIAN_FOLDER) / f"{part}-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    order = np.random.RandomState(seed).permutation(len(labels))
    chosen = np.concatenate(
        [
            order[labels[order] == first_class + number][: count // CLASSES]
            for number in range(CLASSES)
        ]
    )
    return images[chosen], labels[chosen].astype("int32") - first_class


def _recipe(name, base, **changes):
    from keras_sa.recipes import get_recipe

    builder, options, size, _, _ = BASES[base]
    return dataclasses.replace(
        get_recipe(name),
        model=builder,
        model_options={**options, "weights": None, **changes.pop("options", {})},
        image_size=size,
        **changes,
    )


def _session(recipe, arrays, seed, directory, learning_rate=None, **options):
    import tensorflow as tf

    from keras_sa.data import load
    from keras_sa.recipes.classifier_session import ClassifierSession
    from keras_sa.scripts.train import _builder

    data = load(
        arrays,
        training=True,
        image_size=recipe.image_size,
        batch_size=BATCH,
        augmentation=recipe.augmentation,
        seed=seed,
    )
    return ClassifierSession(
        recipe=recipe,
        build=_builder(recipe),
        data=data,
        strategy=tf.distribute.get_strategy(),
        directory=Path(directory),
        seed=seed,
        learning_rate=learning_rate,
        **options,
    )


def _train_base(base, path):
    from keras_sa.data import Augmentation

    *_, count, epochs = BASES[base]
    recipe = _recipe(
        "sa_resnet50_imagenet",
        base,
        epochs=epochs,
        augmentation=Augmentation(scale=(0.5, 1.0)),
    )
    with tempfile.TemporaryDirectory() as directory:
        session = _session(recipe, _images(base, "train", 0, count), 0, directory, 0.02)
        session.run(session.model(), verbose=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(Path(directory) / "model.keras", path)


def _run(base, weights, images, seed):
    import keras

    arrays = _images(base, "train", CLASSES, images, seed)
    recipe = _recipe("fine_tune", base, options={"weights": str(weights)})
    recipe = recipe.lengthened(-(-images // BATCH))
    epochs = recipe.epochs + recipe.head_epochs
    alone = dataclasses.replace(recipe, head_epochs=epochs)
    started = time.perf_counter()
    after_head, after_all = _accuracies(recipe, base, arrays, seed)
    seconds = time.perf_counter() - started
    head_alone = "-"
    if base in HEAD_ALONE:
        (head_alone,) = _accuracies(alone, base, arrays, seed, head_only=True)
    keras.utils.clear_session()
    return {
        "base": base,
        "images": images,
        "seed": seed,
        "after_head": after_head,
        "head_alone": head_alone,
        "after_all": after_all,
        "seconds": round(seconds, 1),
    }


def _accuracies(recipe, base, arrays, seed, head_only=False):
    """Of the test images, in percent, after each of the stages."""
    import keras

    from keras_sa.data import load
    from keras_sa.recipes.new_head import standardise

    test = load(
        _images(base, "t10k", CLASSES, TEST_IMAGES),
        training=False,
        image_size=recipe.image_size,
        batch_size=100,
        one_hot=True,
    )
    found = []

    class Accuracy(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            scores = self.model.evaluate(test.epoch(), verbose=0, return_dict=True)
            found.append(round(100 * scores["accuracy"], 1))

    with tempfile.TemporaryDirectory() as directory:
        session = _session(recipe, arrays, seed, directory)
        model, options = session.model(), {"callbacks": [Accuracy()], "verbose": 0}
        if head_only:
            standardise(model, session.data)
            session.fit(model, recipe.head_epochs, "head_state", **options)
        else:
            session.run(model, **options)
    return found


def _report(rows):
    from keras_sa.scripts.benchmarks.report import machine

    lines = [
        "# Fine-tuning on few images",
        "",
        "Made by `python scripts/checks/study_fine_tune.py`, which says what was done.",
        f"{machine()}.",
        "",
        f"Percent of {TEST_IMAGES} test images, by seed, as far as they are done.",
        "`head`: after the first stage; `head alone`: trained for as many epochs as "
        "both stages have; `all`: the recipe's result.",
        "",
        "| base | images | head | head alone | all |",
        "|---|---:|---|---|---|",
    ]
    for base in BASES:
        for size in SIZES:
            own = [r for r in rows if (r["base"], r["images"]) == (base, str(size))]
            columns = (
                " ".join(row[name] for row in own)
                for name in ("after_head", "head_alone", "after_all")
            )
            if own:
                lines.append(f"| {base} | {size} | {' | '.join(columns)} |")
    below = {}
    for name in ("after_head", "head_alone"):
        pairs = [(r["after_all"], r[name]) for r in rows if r[name] != "-"]
        below[name] = (sum(float(a) < float(b) for a, b in pairs), len(pairs))
    lines += [
        "",
        "Below the head after its stage: {} of {} runs; ".format(*below["after_head"])
        + "below the head alone: {} of {}.".format(*below["head_alone"]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(study_fine_tune)
