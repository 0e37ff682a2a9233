"""Reading weight files without running anything that is in them."""

import functools
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from keras_sa.weights import torch_files
from keras_sa.weights.keras_files import read_h5
from keras_sa.weights.keras_files import read_keras
from keras_sa.weights.state_dict import find_state_dict
from keras_sa.weights.state_dict import strip_names
from keras_sa.weights.stored import Checkpoint
from keras_sa.weights.stored import StoredArray
from keras_sa.weights.torch_tensors import Tensor

# How many names an error lists.
SHOWN = 8
SAFETENSORS_DTYPES = {
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}


@contextmanager
def open_checkpoint(path: str | Path, key: str | None = None) -> Iterator[Checkpoint]:
    """Opens a weight file. Arrays can be read while it is open.

    Args:
        path: A `.pth`, `.pt`, `.pth.tar`, `.ckpt`, `.bin`, `.safetensors`,
            `.weights.h5`, `.keras` or `.npz` file.
        key: Which of the dictionaries in a PyTorch file to take, such as
            `"model_ema"`.

    Yields:
        A `Checkpoint`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the format is unknown, or the file is damaged, holds
            something else than arrays or tries to run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file {str(path)!r}.")
    read = READERS[ending_of(path)]
    if key is not None and read is not _read_torch:
        raise ValueError(
            f"Only PyTorch files hold several dictionaries. Received: key={key!r} for "
            f"{str(path)!r}"
        )
    with ExitStack() as stack:
        with _explained(path):
            checkpoint = stack.enter_context(read(path, key))
        yield checkpoint


def ending_of(path: str | Path) -> str:
    """The ending of a file's name that says its format.

    Raises:
        ValueError: If there is no such format.
    """
    end = next((end for end in READERS if str(path).endswith(end)), None)
    if end is None:
        raise ValueError(
            f"The name of a weight file must end in one of {list(READERS)}. "
            f"Received: path={str(path)!r}"
        )
    return end


@contextmanager
def _explained(path):
    """Turns what the readers' libraries raise into one error that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"The weight file {str(path)!r} can't be read: {error}"
        ) from error


@contextmanager
def _read_torch(path, key):
    content, byteorder = torch_files.load(path)
    key, state = find_state_dict(content, key)
    state = {name: state[stored] for name, stored in strip_names(list(state)).items()}
    other = [n for n, value in state.items() if not isinstance(value, Tensor)]
    if other:
        raise ValueError(
            f"it holds no dictionary of weights: {other[:SHOWN]} are no tensors"
        )
    arrays = {
        name: StoredArray(
            value.shape, value.dtype, functools.partial(value.numpy, byteorder)
        )
        for name, value in state.items()
    }
    yield Checkpoint(path, "published", arrays, key)


@contextmanager
def _read_safetensors(path, key):
    import safetensors

    with safetensors.safe_open(path, framework="numpy") as file:
        arrays = {
            name: _stored_slice(file, stored)
            for name, stored in strip_names(list(file.keys())).items()
        }
        yield Checkpoint(path, "published", arrays)


def _stored_slice(file, name):
    part = file.get_slice(name)
    dtype = part.get_dtype()
    return StoredArray(
        tuple(part.get_shape()),
        SAFETENSORS_DTYPES.get(dtype, dtype),
        lambda: file.get_tensor(name),
    )


@contextmanager
def _read_npz(path, key):
    with zipfile.ZipFile(path) as archive:
        members = {
            info.filename.removesuffix(".npy"): info for info in archive.infolist()
        }
        arrays = {
            name: _stored_npy(archive, members[stored])
            for name, stored in strip_names(list(members)).items()
        }
        yield Checkpoint(path, "published", arrays)


def _stored_npy(archive, member):
    def load():
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
    return StoredArray(shape, str(dtype), load)


# How a file is read, by the end of its name.
READERS = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".pth.tar": _read_torch,
    ".ckpt": _read_torch,
    ".bin": _read_torch,
    ".safetensors": _read_safetensors,
    ".weights.h5": read_h5,
    ".keras": read_keras,
    ".npz": _read_npz,
}
