"""A folder of photos, one folder inside it for every class."""

import functools
import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import MissingSplitError
from keras_sa.data.sources.source import check_validation_fraction
from keras_sa.data.sources.source import host_tensor
from keras_sa.utils.evaluation_crop import CROP_RATIO

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
SUFFIXES = (*JPEG, ".png", ".gif", ".bmp", ".webp")
# What a person takes for an image, and no decoder here reads.
UNREADABLE = (
    ".tif",
    ".tiff",
    ".avif",
    ".heic",
    ".heif",
    ".jp2",
    ".jxl",
    ".psd",
    ".dng",
    ".cr2",
    ".nef",
    ".arw",
    ".svg",
    ".tga",
    ".ppm",
    ".pgm",
)
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


class FileSource(IndexedSource):
    """Image files with labels.

    Args:
        files: The files.
        labels: A class index for each file.
        class_names: Names of the classes.
    """

    encoded = True
    crop_ratio = CROP_RATIO

    def __init__(
        self,
        files: Sequence[str | Path],
        labels: Sequence[int],
        class_names: Sequence[str] = (),
    ):
        self.files = tuple(str(file) for file in files)
        self.labels = np.asarray(labels, "int32")
        self.class_names = tuple(class_names)
        self.num_examples = len(self.files)

    @functools.cached_property
    def _files(self):
        return host_tensor(self.files)

    def payload_of(self, index):
        import tensorflow as tf

        return tf.io.read_file(tf.gather(self._files, index))

    def names_of(self, indices):
        import tensorflow as tf

        return tf.gather(self._files, indices)


def folder(
    path: str | Path, split: str = "train", validation_fraction: float = 0.0
) -> FileSource:
    """Reads the layout of an image folder.

    Two layouts are understood: `PATH/CLASS/photo.jpg`, and the same below one
    folder a split, `PATH/train/CLASS/photo.jpg` and `PATH/val/CLASS/photo.jpg`
    (names: `SPLIT_FOLDERS`). Classes are numbered in the order of their names, and
    always by the training folder. Hidden files and files with other suffixes than
    `SUFFIXES` are passed over.

    Args:
        path: The folder.
        split: `"train"`, `"validation"` or `"test"`; `"all"` for everything of a
            folder without splits.
        validation_fraction: Without folders for the splits, the part of each class
            that is kept from training for validation. Which files these are
            depends on their names alone, so that added photos move no others.

    Returns:
        The images of the split.

    Raises:
        FileNotFoundError: If there is no such folder.
        MissingSplitError: If it has no such split.
        ValueError: If there are no classes, a class without images in training, or
            a class of another split that training doesn't have.
    """
    # An empty name would be the current folder.
    named, path = str(path), Path(path).expanduser()
    if not named or not path.is_dir():
        raise FileNotFoundError(f"There is no folder {named!r}.")
    folders = {
        name: next((path / n for n in names if (path / n).is_dir()), None)
        for name, names in SPLIT_FOLDERS.items()
    }
    if folders["train"] is not None:
        return _from_split_folders(path, folders, split)
    classes = _class_folders(path)
    files = _files_of_classes(path, classes)
    _refuse_empty(files, path)
    if split == "all":
        return _source(files, classes)
    if split not in ("train", "validation"):
        raise MissingSplitError(
            f"{str(path)!r} has no folders for splits (such as 'train' and 'val'), so "
            "there is only 'train', 'all', and 'validation' with a "
            f"`validation_fraction`. Received: split={split!r}"
        )
    check_validation_fraction(validation_fraction, split)
    held_out = {
        name: _held_out(images, validation_fraction) for name, images in files.items()
    }
    if split == "validation":
        return _source(held_out, classes)
    kept = {
        name: [image for image in images if image not in held_out[name]]
        for name, images in files.items()
    }
    return _source(kept, classes)


def _from_split_folders(path, folders, split):
    if folders.get(split) is None:
        raise MissingSplitError(
            f"{str(path)!r} has no folder for the split {split!r}. It would be named "
            f"one of {SPLIT_FOLDERS.get(split, ())}; there are "
            f"{[name for name, found in folders.items() if found]}."
        )
    classes = _class_folders(folders["train"])
    here = _class_folders(folders[split])
    unknown = sorted(set(here) - set(classes))
    if unknown:
        raise ValueError(
            f"{str(folders[split])!r} has classes that {str(folders['train'])!r} "
            f"doesn't have: {unknown}"
        )
    files = _files_of_classes(folders[split], here)
    if split == "train":
        _refuse_empty(files, folders[split])
    source = _source(files, classes)
    if not source.num_examples:
        raise ValueError(f"There are no images in {str(folders[split])!r}.")
    return source


def _class_folders(path):
    names = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise ValueError(
            f"{str(path)!r} must hold one folder of images for each class. It has no "
            "folders."
        )
    return names


def _files_of_classes(path, classes):
    images = list_images([path / name for name in classes])
    return dict(zip(classes, images, strict=True))


def list_images(folders: Sequence[Path]) -> list[list[Path]]:
    """The image files below each folder, sorted by name.

    Those that can't be read are counted in one warning.
    """
    found: list[list[Path]] = []
    unread: Counter[str] = Counter()
    for path in folders:
        images = []
        for folder, inner, files in os.walk(path, followlinks=True):
            inner[:] = [name for name in inner if not name.startswith(".")]
            for file in files:
                if file.startswith("."):
                    continue
                if file.lower().endswith(SUFFIXES):
                    images.append(Path(folder, file))
                elif file.lower().endswith(UNREADABLE):
                    unread[Path(file).suffix.lower()] += 1
        found.append(sorted(images))
    if unread:
        counts = ", ".join(f"{n} {suffix}" for suffix, n in sorted(unread.items()))
        where = os.path.commonpath(folders)
        warnings.warn(
            f"{where!r} has images that can't be read and are left out: {counts}. "
            f"Only {', '.join(SUFFIXES)} are.",
            stacklevel=3,
        )
    return found


def _refuse_empty(files, path):
    empty = [name for name, images in files.items() if not images]
    if empty:
        raise ValueError(
            f"These folders of classes in {str(path)!r} hold no images with one of the "
            f"suffixes {SUFFIXES}: {empty}"
        )


def _held_out(images, fraction):
    ranked = sorted(
        images, key=lambda image: hashlib.sha256(image.name.encode()).digest()
    )
    return set(ranked[: int(fraction * len(images))])


def _source(files, classes):
    numbers = {name: number for number, name in enumerate(classes)}
    pairs = [(image, numbers[name]) for name in files for image in sorted(files[name])]
    return FileSource([p[0] for p in pairs], [p[1] for p in pairs], classes)
