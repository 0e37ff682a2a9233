"""Photos to try things with, in folders of classes, where there are none.

    python scripts/checks/sample_photos.py demo/sample_photos

writes random crops of the photos that scikit-image and scikit-learn bring along: of one
photo a class, three classes in `photos/` and ten others in `others/`. Two crops of a
photo may show the same part: what is right of them says that a training works, and
not how good a network is.
"""

from pathlib import Path
from typing import Annotated

import typer

# Of scikit-image's `data` and scikit-learn's `datasets/images`.
PHOTOS = {
    "photos": {"cat": "chelsea.png", "coffee": "coffee.png", "flower": "flower.jpg"},
    "others": {
        "astronaut": "astronaut.png",
        "brick": "brick.png",
        "coins": "coins.png",
        "galaxies": "hubble_deep_field.jpg",
        "grass": "grass.png",
        "gravel": "gravel.png",
        "motorcycle": "motorcycle_left.png",
        "retina": "retina.jpg",
        "rocket": "rocket.jpg",
        "temple": "china.jpg",
    },
}
# Of the photo's short side.
SHARES = (0.4, 0.9)


def sample_photos(
    directory: Annotated[Path, typer.Argument(help="Where to.")],
    crops: Annotated[int, typer.Option(help="Of every photo.")] = 40,
    size: Annotated[int, typer.Option(help="Height and width of a crop.")] = 160,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal crops.")] = 0,
) -> None:
    """Writes crops of sample photos as JPEG files."""
    import numpy as np

    from keras_sa.utils.extras import require_extra

    pillow = require_extra("PIL.Image", "benchmark")
    science = Path(str(require_extra("skimage.data", "benchmark").__file__)).parent
    learn = Path(str(require_extra("sklearn.datasets", "benchmark").__file__)).parent
    random = np.random.default_rng(seed)
    for group, classes in PHOTOS.items():
        for name, file in classes.items():
            known = [science / file, learn / "images" / file]
            photo = pillow.open(next(path for path in known if path.is_file()))
            photo = photo.convert("RGB")
            folder = directory / group / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(crops):
                side = round(random.uniform(*SHARES) * min(photo.size))
                left, top = random.integers(0, np.array(photo.size) - side)
                crop = photo.crop((left, top, left + side, top + side))
                crop = crop.resize((size, size), pillow.Resampling.LANCZOS)
                crop.save(folder / f"{number:02d}.jpg", quality=90)
    print(f"{crops} crops of each of {sum(map(len, PHOTOS.values()))} photos")


if __name__ == "__main__":
    typer.run(sample_photos)
