"""Three detectors on three backbones, trained from nothing on synthetic shapes.

    python scripts/checks/study_detection.py --runs 27  # again until all are done

Results: `results/detection/runs.csv` and `results/detection/README.md`. Running it
again goes on with the runs that are missing. All images are made by the script.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

SIDES = (64, 96)
BATCH = 8
# Of 400 images. The rate rises to its maximum and falls to zero as a cosine. A dense
# head has no second stage and learns from few of its anchors: it takes longer.
EPOCHS = {"SAMaskRCNN": 14, "SAFasterRCNN": 8, "SARetinaNet": 24}
RATE = {"SAMaskRCNN": 0.002, "SAFasterRCNN": 0.002, "SARetinaNet": 0.005}
SEEDS = (0, 1, 2)
BACKBONES = ("none", "se", "sa")
SMALL = {"channels": 32, "freeze": False, "classes": 3}
REGIONS = {
    "units": 128,
    "anchor_scale": 3.0,
    "region_samples": 32,
    "proposal_samples": 64,
    "train_proposals": 100,
    "test_proposals": 50,
}
DETECTORS = {
    "SAMaskRCNN": {**SMALL, **REGIONS},
    "SAFasterRCNN": {**SMALL, **REGIONS},
    "SARetinaNet": {**SMALL, "depth": 2, "anchor_scale": 1.5},
}
ATTENTION_OPTIONS = {"none": None, "se": None, "sa": {"groups": 4}}
MEASURES = ("box_ap", "box_ap50", "mask_ap", "mask_ap50")
COLUMNS = (
    "detector",
    "backbone",
    "seed",
    *MEASURES,
    "seconds_per_image",
    "training_seconds",
    "peak_mib",
)

REPORT = """# Detectors on synthetic shapes

`python scripts/checks/study_detection.py --runs 27` trains every detector on every
backbone with three seeds, from random weights, and goes on where it was stopped; every
run is in `runs.csv`. {machine}.

{table}

AP in per cent on the 100 validation images, mean ± half of a 95 % Student-t interval
over the seeds. The differences are within a seed. An interval that holds zero is no
difference: with three seeds the intervals are wide, and shapes are not photos. Times
are processor time of the first batch of 8 validation images, without pasting masks
into the images; peak memory is of the process that trained.

400 training images of discs, squares and triangles, short side 64; bottlenecks
(1, 1, 1, 1) of width 16, 4 groups; AdamW with weight decay 0.01, gradients clipped to
norm 10, batches of 8; epochs {epochs}; highest learning rates {rates}. No detector was
trained on COCO, so nothing here says what AP it has there.
"""


def study_detection(
    runs: Annotated[int, typer.Option(help="How many missing runs to do.")] = 27,
    output: Annotated[Path, typer.Option(help="Where the results are kept.")] = Path(
        "results/detection"
    ),
    images: Annotated[Path, typer.Option(help="Where the images are kept.")] = Path(
        "demo/shapes"
    ),
    only: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Compares detectors and backbones on synthetic shapes."""
    if only:
        detector, backbone, seed = only.split(",")
        print(json.dumps(_run(detector, backbone, int(seed), images)))
        return
    from keras_sa.study import RunTable

    settings = {"sides": SIDES, "batch": BATCH, "epochs": EPOCHS, "rates": RATE}
    table = RunTable(output, settings, COLUMNS)
    if table.rows:
        _report(output, table.rows)
    done = {(row["detector"], row["backbone"], int(row["seed"])) for row in table.rows}
    wanted = [(d, b, seed) for seed in SEEDS for d in DETECTORS for b in BACKBONES]
    for arm in [arm for arm in wanted if arm not in done][:runs]:
        # A process for each run: its peak memory is its own.
        name = ",".join(map(str, arm))
        command = [sys.executable, __file__, "--only", name, "--images", str(images)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        table.add(json.loads(answer.stdout.splitlines()[-1]))
        print(table.rows[-1], flush=True)
        _report(output, table.rows)


def _run(name, backbone, seed, folder):
    import resource
    import time

    import keras

    from keras_sa import applications
    from keras_sa.data import coco
    from keras_sa.detection.evaluation.coco_evaluation import evaluate

    keras.utils.set_random_seed(seed)
    mask_size = 56 if name == "SAMaskRCNN" else 0
    train, validation = (
        coco.load(
            f"shapes:{folder}",
            split,
            sides=SIDES,
            batch_size=BATCH,
            mask_size=mask_size,
            seed=seed,
        )
        for split in ("train", "validation")
    )
    network = applications.AttentionResNet(
        attention=None if backbone == "none" else backbone,
        attention_options=ATTENTION_OPTIONS[backbone],
        include_top=False,
        blocks=(1, 1, 1, 1),
        width=16,
    )
    model = getattr(applications, name)(network, **DETECTORS[name])
    steps = EPOCHS[name] * train.steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(
        RATE[name] / 10, steps, warmup_target=RATE[name], warmup_steps=steps // 10
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=0.01, global_clipnorm=10.0
    )
    model.compile(optimizer)
    started = time.process_time()
    model.fit(
        train.dataset(),
        steps_per_epoch=train.steps_per_epoch,
        epochs=EPOCHS[name],
        shuffle=False,
        verbose=0,
    )
    trained = time.process_time()
    found = evaluate(model, validation, backend="faster_coco_eval")
    return {
        "detector": name,
        "backbone": backbone,
        "seed": seed,
        **{m: round(found[m], 4) if m in found else "" for m in MEASURES},
        "seconds_per_image": round(_prediction_time(model, validation), 4),
        "training_seconds": round(trained - started),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _prediction_time(model, data):
    """Processor seconds an image, without tracing."""
    import time

    import tensorflow as tf

    predict = tf.function(lambda images: model.predict_step((images,)))
    images, _ = next(iter(data.epoch()))
    predict(images)
    started = time.process_time()
    for _ in range(5):
        predict(images)["count"].numpy()
    return (time.process_time() - started) / (5 * BATCH)


def _report(output, rows):
    """`study.md`: means over the seeds with 95 % intervals."""
    from keras_sa.scripts.benchmarks.report import machine
    from keras_sa.study import mean_interval
    from keras_sa.study import paired_difference
    from keras_sa.utils.files import replacing

    def percent(interval, sign=""):
        return f"{100 * interval.mean:{sign}.1f} ± {100 * interval.half_width:.1f}"

    def of(detector, backbone, measure):
        return {
            int(row["seed"]): float(row[measure])
            for row in rows
            if (row["detector"], row["backbone"]) == (detector, backbone)
            and row[measure]
        }

    table = [
        "| detector | backbone | runs | box AP | mask AP | SA's box AP is more by | "
        "ms an image | peak MiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for detector in DETECTORS:
        for backbone in BACKBONES:
            found = {m: of(detector, backbone, m) for m in COLUMNS[3:]}
            if not found["box_ap"]:
                continue
            boxes, masks = (
                percent(mean_interval(list(found[m].values()))) if found[m] else ""
                for m in ("box_ap", "mask_ap")
            )
            gain = paired_difference(of(detector, "sa", "box_ap"), found["box_ap"])
            time, memory = (
                mean_interval(list(found[m].values())).mean
                for m in ("seconds_per_image", "peak_mib")
            )
            cells = [detector, backbone, len(found["box_ap"]), boxes, masks]
            cells.append("" if backbone == "sa" or not gain else percent(gain, "+"))
            cells += [f"{1e3 * time:.1f}", f"{memory:.0f}"]
            table.append("| " + " | ".join(map(str, cells)) + " |")
    text = REPORT.format(
        table="\n".join(table), machine=machine(), epochs=EPOCHS, rates=RATE
    )
    with replacing(output / "study.md") as path:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(study_detection)
