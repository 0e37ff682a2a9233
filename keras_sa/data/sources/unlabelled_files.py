"""Image files without labels."""

from collections.abc import Sequence
from pathlib import Path

from keras_sa.data.sources.folder import FileSource
from keras_sa.data.sources.folder import list_images


def image_files(paths: str | Path | Sequence[str | Path]) -> FileSource:
    """Files to predict: the labels are their numbers in `source.files`.

    Args:
        paths: A file or a folder, or several. Of folders all images below them are
            taken, sorted by name; named files are taken whatever their suffix.

    Returns:
        A source for `keras_sa.data.load`, without classes.

    Raises:
        FileNotFoundError: If one of the paths doesn't exist.
        ValueError: If there is no image at all.

    Example:

    ```python
    source = image_files(["photos", "cat.jpg"])
    data = keras_sa.data.load(source, "all", image_size=224, batch_size=32)
    for images, numbers, weights in data.epoch():
        for number, weight in zip(numbers.numpy(), weights.numpy()):
            if weight:  # not skipped, and not only there to fill the batch
                print(source.files[number])
    ```
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    files = []
    for path in map(Path, paths):
        path = path.expanduser()
        if not path.exists():
            raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
        files += list_images([path])[0] if path.is_dir() else [path]
    if not files:
        raise ValueError(f"There are no images in {[str(path) for path in paths]}.")
    return FileSource(files, range(len(files)))


def files(paths: str, split: str, validation_fraction: float = 0.0) -> FileSource:
    """One file or folder, as the source `"files:PATH"`: all of its images."""
    return image_files(paths)
