"""Draws the pictures of the guides and of `results/detection`, from the trainings on.

    python scripts/checks/guide_pictures.py  # again: goes on where it was stopped

needs the extras `benchmark` and `detection`. The photos are those of
`sample_photos.py`. In place of ImageNet's weights, which are a download, the network
starts with those that it learned in minutes from the ten other photos.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "guides" / "images"
FOUND = ROOT / "results" / "detection" / "found.png"
SMALL = "--image-size 96 --batch-size 16"
COMMANDS = (
    "train --recipe sa_resnet50_imagenet --data folder:others --learning-rate 0.02 "
    f"--epochs 4 --directory base {SMALL}",
    "train --recipe fine_tune --weights base/model.keras --data folder:photos "
    f"--validation-fraction 0.2 --directory run {SMALL}",
    "evaluate run --picture predictions.png --picture-images 6",
    "predict run photos/cat/00.jpg photos/coffee/00.jpg photos/flower/00.jpg",
    "explain run photos/flower/02.jpg --layer conv4_block6_out",
    "shapes shapes --images 1200",
    "detect train --detector mask_rcnn --data coco:shapes --validate-every 6 "
    "--directory shapes_run",
    "detect evaluate shapes_run --picture found.png --threshold 0.8",
)
PICTURES = {
    "predictions.png": IMAGES / "predictions.png",
    "explanations/02_explained.png": IMAGES / "explanation.png",
    "found.png": FOUND,
}


def guide_pictures(
    folder: Annotated[
        Path, typer.Option(help="Where photos and trainings are kept.")
    ] = ROOT / "demo" / "guide_pictures",
) -> None:
    """Runs the commands of the guides and keeps the pictures that they write."""
    from keras_sa.utils.extras import require_extra

    pillow = require_extra("PIL.Image", "benchmark")
    photos = ROOT / "scripts" / "checks" / "sample_photos.py"
    subprocess.run([sys.executable, photos, folder], check=True)
    for command in COMMANDS:
        print(f"keras-sa {command}", flush=True)
        words = [sys.executable, "-m", "keras_sa.scripts.main", *command.split()]
        subprocess.run(words, cwd=folder, check=True)
    for source, target in PICTURES.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        # A palette: less than half of the size, and little difference to be seen.
        picture = pillow.open(folder / source).convert("RGB")
        small = picture.quantize(256)
        if target != FOUND:  # photos have no flat colours
            dither = pillow.Dither.FLOYDSTEINBERG
            small = picture.quantize(palette=small, dither=dither)
        small.save(target, optimize=True)
        print(f"written: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    typer.run(guide_pictures)
