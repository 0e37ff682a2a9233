"""Arrays in a NumPy archive, as the Keras data sets are."""

from pathlib import Path

import numpy as np

from keras_sa.data.sources.arrays import ArraySource
from keras_sa.data.sources.arrays import part_of
from keras_sa.data.sources.source import MissingSplitError


def npz(path: str, split: str, validation_fraction: float = 0.0) -> ArraySource:
    """Reads `x_SPLIT` and `y_SPLIT`, and `class_names` if there are any.

    Args:
        path: The archive, such as Keras' `mnist.npz`. Nothing in it is unpickled.
        split: `"train"`, `"test"` or whatever the names in the archive end with.
        validation_fraction: The part of `x_train` that is held out as
            `"validation"` where there is no `x_validation`.

    Raises:
        FileNotFoundError: If there is no such file.
        MissingSplitError: If the archive has no such split.
        ValueError: If it is malformed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    with np.load(path, allow_pickle=False) as archive:
        found = [name[2:] for name in archive.files if name.startswith("x_")]
        stored = split
        if split == "validation" and split not in found:
            stored = "train"
        if not {f"x_{stored}", f"y_{stored}"} <= set(archive.files):
            raise MissingSplitError(
                f"{str(path)!r} must hold the arrays 'x_{stored}' and 'y_{stored}'. "
                f"It holds {archive.files}."
            )
        images, labels = archive[f"x_{stored}"], archive[f"y_{stored}"].reshape(-1)
        names = archive["class_names"] if "class_names" in archive.files else None
        if names is None and "y_train" in archive.files:
            # A split without the last class must not change the number of classes.
            names = range(int(archive["y_train"].max()) + 1)
    if stored == "train" and "validation" not in found:
        images, labels = part_of(images, labels, split, validation_fraction)
    return ArraySource(
        images,
        labels,
        None if names is None else [str(name) for name in names],
        path.name,
    )
