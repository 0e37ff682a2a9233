"""Detection data sets by name."""

from collections.abc import Sequence
from pathlib import Path

from keras_sa.data.coco.annotation_files import read_annotations
from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.detection_data import DetectionData
from keras_sa.data.coco.problems import Problems
from keras_sa.data.coco.reader import Reader
from keras_sa.data.coco.shapes import write_shapes
from keras_sa.data.coco.tfds_objects import tfds_objects
from keras_sa.data.sources.folder import FileSource
from keras_sa.data.sources.source import Source
from keras_sa.utils.normalization import IMAGENET_MEAN
from keras_sa.utils.normalization import IMAGENET_STD

# What COCO's files of a split are named after.
SPLITS = {
    "train": ("train", "train2017", "train2014"),
    "validation": ("validation", "val", "val2017", "val2014"),
}
# The published sizes: of the short side, and at most of the long one.
SIDES = (800, 1333)


def load(
    source: str,
    split: str = "train",
    *,
    sides: tuple[int, int] = SIDES,
    batch_size: int = 8,
    training: bool | None = None,
    mask_size: int = 0,
    seed: int = 0,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    skip_bad: bool = False,
    report: str | Path | None = None,
) -> DetectionData:
    """Opens a detection data set for training or evaluation.

    Images are turned as their EXIF orientation says; annotations are of the picture
    that a person sees. An image whose height and width say otherwise can't be used.

    Args:
        source: `"coco:FOLDER"`, with COCO's files: `annotations/instances_*.json`
            and one folder of images a split; `"shapes:FOLDER"`, which writes the
            synthetic shapes there first; or `"tfds:coco/2017"` or another set of
            TensorFlow Datasets with its features, which has no masks.
        split: `"train"`, `"validation"`, or what stands in the files' names.
        sides: Length of the short side of the resized images, and at most of the
            long one.
        batch_size: The global batch.
        training: Whether the order is random and images are flipped at random.
            Defaults to whether the split is `"train"`.
        mask_size: Cells of the objects' masks along both axes: 56 for
            `SAMaskRCNN`, 0 for no masks.
        seed: Order and flips are functions of it, in 0..2**32 - 1.
        mean: Mean of each channel in 0..1.
        std: Standard deviation of each channel.
        skip_bad: Whether to go on where annotations and images can't be used, instead
            of stopping with an error that names them. Boxes are clipped to their
            images and bad polygons left out. Objects of which no more can be used than
            their place, and images that can't be read, are ignored like crowds: they
            are neither trained nor background.
        report: With `skip_bad`, a JSON-lines file that lists them.

    Returns:
        The batches; `.dataset()` and `.epoch(n)` give `tf.data.Dataset`s as
        `keras_sa.detection` describes them.

    Raises:
        FileNotFoundError: If the data or the split is missing.
        ValueError: If an argument is out of its range or the data can't be used.

    Example:

    ```python
    data = keras_sa.data.coco.load("coco:photos", sides=(640, 1066), batch_size=4)
    model.fit(data.dataset(), steps_per_epoch=data.steps_per_epoch, epochs=10)
    ```
    """
    kind, _, rest = source.partition(":")
    if kind not in SOURCES or not rest:
        raise ValueError(
            "`source` must be one of "
            f"{[f'{name}:...' for name in SOURCES]}. Received: source={source!r}"
        )
    wrong = {
        "sides": not 1 <= sides[0] <= sides[1],
        "batch_size": batch_size < 1,
        "mask_size": mask_size < 0,
        "seed": not 0 <= seed < 2**32,
    }
    if any(wrong.values()):
        raise ValueError(
            "`sides` must be two positive lengths, the second one not below the "
            "first, `batch_size` positive, `mask_size` at least 0 and `seed` in "
            f"0..2**32 - 1. Received: sides={sides}, batch_size={batch_size}, "
            f"mask_size={mask_size}, seed={seed}"
        )
    problems = Problems(source, skip_bad, report)
    annotations, files = SOURCES[kind](rest, split, problems, mask_size > 0)
    return DetectionData(
        annotations=annotations,
        source=files,
        reader=Reader(annotations, problems, mask_size),
        batch_size=batch_size,
        sides=(sides[0], sides[1]),
        training=split == "train" if training is None else training,
        seed=seed,
        mean=tuple(mean),
        std=tuple(std),
    )


def coco_folder(
    folder: str, split: str, problems: Problems, masks: bool
) -> tuple[Annotations, Source]:
    """A folder with COCO's files: see `load`."""
    path = Path(folder).expanduser()
    names = SPLITS.get(split, (split,))
    for name in names:
        file = path / "annotations" / f"instances_{name}.json"
        if file.is_file():
            break
    else:
        raise FileNotFoundError(
            f"There is no file 'annotations/instances_SPLIT.json' in {str(path)!r}, "
            f"with one of {list(names)} for the split. Received: split={split!r}"
        )
    images = path / name
    problems.file = str(file)
    annotations = read_annotations(file, images, problems, masks)
    files = [images / image.name for image in annotations.images]
    return annotations, FileSource(files, range(len(files)))


def shapes_folder(
    folder: str, split: str, problems: Problems, masks: bool
) -> tuple[Annotations, Source]:
    """The synthetic shapes with their default settings: see `load`."""
    path = Path(folder).expanduser()
    if not (path / "annotations").is_dir():
        write_shapes(path)
    return coco_folder(folder, split, problems, masks)


SOURCES = {"shapes": shapes_folder, "coco": coco_folder, "tfds": tfds_objects}
