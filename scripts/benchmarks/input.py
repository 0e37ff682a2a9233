"""Reading training images: `keras_sa.data` against a Pillow pipeline, on one core."""

import math
import os
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

WIDTH, HEIGHT, SIZE = 500, 375, 224
COPIES = 40
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)


def input_pipeline(
    quality: Annotated[int, typer.Option(help="Quality of the JPEG files.")] = 90,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="Timed batches of a round.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Images/s per core: decode, random crop, flip, normalise, make a batch."""
    from keras_sa.scripts.benchmarks.report import report
    from keras_sa.scripts.benchmarks.timing import median_ratio

    if not hasattr(os, "sched_setaffinity"):
        raise RuntimeError(
            "`keras-sa benchmark input` measures on one core, which Linux alone lets a "
            f"process ask for. Received: {platform.system()}"
        )
    contenders = {"Pillow": _pillow, "plain tf.data": _plain, "keras_sa.data": _ours}
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        size = _write_photos(Path(folder) / "photos", quality)
        for _ in range(rounds):
            for name, contender in contenders.items():
                speeds[name].append(_in_new_process(contender, folder, batch, batches))
    rows = [
        {
            "pipeline": name,
            "median": f"{statistics.median(values):.0f} images/s",
            "best": f"{max(values):.0f} images/s",
            "median ratio": f"{median_ratio(values, speeds['Pillow']):.2f}",
            "ratio of the best": f"{max(values) / max(speeds['Pillow']):.2f}",
        }
        for name, values in speeds.items()
    ]
    title = f"JPEG {WIDTH}x{HEIGHT}, quality {quality}, {size / 1000:.0f} kB, one core"
    report(title, rows, csv)


def _write_photos(folder, quality):
    """Writes the photos of scikit-image and scikit-learn; returns the mean size."""
    from keras_sa.utils.extras import require_extra

    image_module = require_extra("PIL.Image", "benchmark")
    science = Path(str(require_extra("skimage.data", "benchmark").__file__)).parent
    learn = Path(str(require_extra("sklearn.datasets", "benchmark").__file__)).parent
    files = [science / name for name in PHOTOS]
    files += [learn / "images" / name for name in ("china.jpg", "flower.jpg")]
    folder.mkdir()
    sizes = []
    for file in files:
        image = image_module.open(file).convert("RGB")
        factor = max(WIDTH / image.width, HEIGHT / image.height)
        image = image.resize(
            (math.ceil(image.width * factor), math.ceil(image.height * factor)),
            image_module.Resampling.LANCZOS,
        ).crop((0, 0, WIDTH, HEIGHT))
        for copy in range(COPIES):
            target = folder / f"{file.stem}_{copy}.jpg"
            image.save(target, quality=quality)
        sizes.append(target.stat().st_size)
    return statistics.mean(sizes)


def _in_new_process(contender, folder, batch, batches):
    """Images/s in a process of its own, so that nothing runs in the background."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(_timed, contender, folder, batch, batches).result()


def _timed(contender, folder, batch, batches):
    # Before TensorFlow counts the cores.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stream = contender(folder, batch)
    # What is prefetched in the meantime must not be counted as done at once.
    for _ in range(6):
        next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return batch * batches / (time.perf_counter() - start)


def _pillow(folder, batch):
    """The published trainer's transforms, with Pillow and NumPy."""
    import numpy as np
    from PIL import Image

    files = sorted(Path(folder, "photos").iterdir())
    generator = random.Random(0)
    mean = np.array(MEAN, "float32")[:, None, None]
    std = np.array(STD, "float32")[:, None, None]

    def prepared(path):
        with path.open("rb") as file:
            image = Image.open(file).convert("RGB")
        left, top, width, height = _pillow_window(*image.size, generator)
        image = image.crop((left, top, left + width, top + height))
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if generator.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(image).transpose(2, 0, 1).astype("float32", order="C")
        pixels /= 255
        pixels -= mean
        pixels /= std
        return pixels

    while True:
        yield np.stack([prepared(generator.choice(files)) for _ in range(batch)])


def _pillow_window(width, height, generator):
    for _ in range(10):
        area = width * height * generator.uniform(*SCALE)
        stretch = math.exp(generator.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * stretch)), round(math.sqrt(area / stretch))
        if 0 < w <= width and 0 < h <= height:
            left, top = (
                generator.randint(0, width - w),
                generator.randint(0, height - h),
            )
            return left, top, w, h
    return 0, 0, width, height


def _plain(folder, batch):
    """What one writes first: whole image, slice, resize, flip, normalise."""
    import tensorflow as tf

    from keras_sa.data.random_crop import ATTEMPTS
    from keras_sa.data.random_crop import crop_shapes
    from keras_sa.data.random_crop import sample_crop

    def prepared(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        draws = tf.random.uniform((2 * ATTEMPTS + 2,))
        shapes = crop_shapes(draws, SCALE, RATIO)
        window = sample_crop(shapes, draws[-2:], tf.shape(image)[:2], RATIO)
        image = tf.image.crop_to_bounding_box(image, *tf.unstack(window))
        image = tf.image.resize(image, (SIZE, SIZE))
        image = tf.image.random_flip_left_right(image) / 255
        return (image - MEAN) / STD

    files = tf.data.Dataset.list_files(f"{folder}/photos/*").repeat()
    images = files.map(prepared, num_parallel_calls=tf.data.AUTOTUNE)
    return iter(images.batch(batch).prefetch(tf.data.AUTOTUNE))


def _ours(folder, batch):
    import keras_sa.data

    return iter(
        keras_sa.data.load(
            f"folder:{folder}", image_size=SIZE, batch_size=batch, training=True
        ).dataset()
    )


if __name__ == "__main__":
    typer.run(input_pipeline)
