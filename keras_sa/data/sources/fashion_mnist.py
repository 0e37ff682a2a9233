"""Fashion-MNIST, from Debian's package or a folder of its four files."""

import gzip
import struct
from pathlib import Path

import numpy as np

from keras_sa.data.sources.arrays import ArraySource
from keras_sa.data.sources.arrays import part_of
from keras_sa.data.sources.source import MissingSplitError

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_mnist(
    path: str, split: str, validation_fraction: float = 0.0
) -> ArraySource:
    """60,000 grey 28x28 images of clothes to train and 10,000 to test.

    Args:
        path: The folder of the four IDX files, packed with gzip or not. Defaults to
            the one of Debian's package `dataset-fashion-mnist`.
        split: `"train"`, `"test"`, or `"validation"` with a `validation_fraction`.
        validation_fraction: The part of the training images held out.

    Raises:
        FileNotFoundError: If the files are missing.
        MissingSplitError: If there is no such split.
        ValueError: If a file is damaged.
    """
    if split not in (*FILES, "validation"):
        raise MissingSplitError(
            "The splits of Fashion-MNIST are 'train', 'test', and 'validation' with a "
            f"`validation_fraction`. Received: split={split!r}"
        )
    folder = Path(path or DEBIAN_FOLDER).expanduser()
    images, labels = (
        read_idx(_find(folder, name))
        for name in FILES["test" if split == "test" else "train"]
    )
    if split != "test":
        images, labels = part_of(images, labels, split, validation_fraction)
    return ArraySource(images, labels, CLASS_NAMES, f"Fashion-MNIST {split}")


def read_idx(path: Path) -> np.ndarray:
    """Reads a file of unsigned bytes in the IDX format, packed with gzip or not.

    Raises:
        ValueError: If it is no such file or is truncated.
    """
    try:
        opened = gzip.open(path) if path.suffix == ".gz" else path.open("rb")
        with opened as file:
            content = file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error
    # Two zeros, 8 for unsigned bytes, the rank; then the shape.
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{str(path)!r} is not an IDX file of unsigned bytes.")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
    if values.size != np.prod(shape, dtype=np.int64):
        raise ValueError(
            f"{str(path)!r} is damaged: it should hold {shape} values and holds "
            f"{values.size}."
        )
    return values.reshape(shape)


def _find(folder, name):
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"There is no {name!r} (or {name}.gz) in {str(folder)!r}. Install Debian's "
        "package `dataset-fashion-mnist`, or name the folder of the four files: "
        "'fashion_mnist:FOLDER'."
    )
