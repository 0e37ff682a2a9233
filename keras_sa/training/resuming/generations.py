"""Files of which the newest whole one is read, however the writer was killed."""

import hashlib
import io
import json
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np

from keras_sa.utils.files import write_atomically

NAME = re.compile(r"state-(\d+)\.([0-9a-f]{64})\.npz")
METADATA = "metadata"


class Generations:
    """The last states of a training, one file each.

    A file is written under a temporary name and renamed when it is whole. Its name
    holds its number and the SHA-256 of its bytes. Files hold arrays and JSON only:
    reading one never runs code.

    Args:
        directory: Where the files are. All workers must see the same files.
        keep: How many are kept.
    """

    def __init__(self, directory: str | Path, keep: int = 2):
        self.directory = Path(directory)
        self.keep = keep
        self._damaged: set[Path] = set()

    def write(self, arrays: dict[str, np.ndarray], metadata: dict) -> Path:
        """Adds a state and removes those that are not kept.

        Args:
            arrays: The arrays, by names without `"metadata"`.
            metadata: What JSON can hold.

        Returns:
            The file.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        stored = {name: _to_storage(array) for name, array in arrays.items()}
        dtypes = {name: np.asarray(array).dtype.name for name, array in arrays.items()}
        files = self._files()
        number = max(files, default=(0,))[0] + 1
        described = {"dtypes": dtypes, "metadata": {**metadata, "number": number}}
        stored[METADATA] = np.frombuffer(json.dumps(described).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **stored)
        content = buffer.getbuffer()
        digest = hashlib.sha256(content).hexdigest()
        path = self.directory / f"state-{number:08d}.{digest}.npz"
        write_atomically(path, content)
        whole = [file for _, file in files if file not in self._damaged]
        for file in self._damaged | set(whole[: len(whole) - self.keep + 1]):
            file.unlink(missing_ok=True)
        self._damaged.clear()
        return path

    def read(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """The newest state that is whole.

        Returns:
            Arrays and metadata, to which `number` is added, counted from 1; or
            `None` if nothing was written yet.

        Raises:
            OSError: If there are files and all are damaged. They are kept.
        """
        files = [file for _, file in reversed(self._files())]
        for file in files:
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() in file.name:
                if self._damaged:
                    warnings.warn(
                        "Damaged: "
                        + ", ".join(sorted(str(each) for each in self._damaged))
                        + f". Going on from the older {file}.",
                        stacklevel=2,
                    )
                return _parse(content)
            self._damaged.add(file)
        if files:
            raise OSError(
                "All saved states of the training are damaged; they are kept. Delete "
                "them to start again. Received: "
                + ", ".join(str(file) for file in files)
            )
        return None

    def _files(self):
        """Number and path of every state, in ascending order."""
        if not self.directory.is_dir():
            return []
        matches = (
            (NAME.fullmatch(file.name), file) for file in self.directory.iterdir()
        )
        return sorted((int(match[1]), file) for match, file in matches if match)


def _to_storage(array):
    array = np.asarray(array)
    # NumPy's files don't know bfloat16 and the like.
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.itemsize}")


def _parse(content):
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise OSError(f"This is not a saved state of a training: {error}") from error
    described = json.loads(arrays.pop(METADATA).tobytes())
    dtypes = described["dtypes"]
    for name, array in arrays.items():
        if array.dtype.name != dtypes[name]:
            # Registered by TensorFlow's own dependency.
            import ml_dtypes

            arrays[name] = array.view(getattr(ml_dtypes, dtypes[name]))
    return arrays, described["metadata"]
