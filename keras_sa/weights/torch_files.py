"""PyTorch's files, read without PyTorch: tensors, and nothing else that is in them.

A file of `torch.save` is a pickle that refers to blocks of numbers, in a zip archive
or, before PyTorch 1.6, in front of them.
"""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np

from keras_sa.weights.torch_pickles import unpickled
from keras_sa.weights.torch_tensors import DTYPES
from keras_sa.weights.torch_tensors import ByteOrder
from keras_sa.weights.torch_tensors import Storage

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# A network's names and shapes take some 100 kB.
MAX_PICKLE = 2**26


def load(path: str | Path) -> tuple[object, ByteOrder]:
    """What `torch.save` has stored, with `Tensor`s in the place of tensors.

    As strict as `torch.load(weights_only=True)`.

    Args:
        path: A file of `torch.save`, of either format.

    Returns:
        The object, and the byte order of its tensors, `"<"` or `">"`.

    Raises:
        ValueError: If the file is damaged or holds anything but dictionaries, lists,
            numbers, strings and tensors.
    """
    try:
        if zipfile.is_zipfile(path):
            return _load_archive(path)
        return _load_legacy(path)
    except (ValueError, OSError):
        raise
    except Exception as error:
        # Unpicklers raise almost anything for damaged files.
        found = str(error) if isinstance(error, pickle.UnpicklingError) else ""
        raise ValueError(
            "it is damaged or holds Python objects, which can run code"
            + (f": {found}" if found else "")
        ) from error


def _load_archive(path):
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        packed = [n for n, i in members.items() if i.compress_type]
        if packed:
            raise ValueError(f"its part {packed[0]!r} is compressed: not by PyTorch")
        # PyTorch itself does not compare the checksums.
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"its part {damaged!r} does not fit its checksum")
        found = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(found) != 1:
            raise ValueError(f"it has {len(found)} parts called data.pkl, not one")
        root = found[0].removesuffix("data.pkl")
        if members[found[0]].file_size > MAX_PICKLE:
            raise ValueError(f"its part {found[0]!r} is larger than {MAX_PICKLE} bytes")
        content = archive.read(found[0])
        order = f"{root}byteorder"
        big = order in members and archive.read(order) == b"big"

    def storage_of(key, dtype, numbers):
        name = f"{root}data/{key}"
        size = numbers * np.dtype(DTYPES[dtype]).itemsize
        if name not in members or members[name].file_size != size:
            raise pickle.UnpicklingError(f"the storage {key!r} is not as declared")

        def read():
            with zipfile.ZipFile(path) as archive:
                return archive.read(name)

        return Storage(dtype, numbers, read)

    return unpickled(io.BytesIO(content), storage_of), ">" if big else "<"


def _load_legacy(path):
    places: dict[str, tuple[int, int]] = {}
    sizes: dict[str, int] = {}

    def storage_of(key, dtype, numbers):
        def read():
            start, stored = places[key]
            if stored != numbers:
                raise ValueError("its storage is not as long as declared")
            size = numbers * np.dtype(DTYPES[dtype]).itemsize
            with open(path, "rb") as file:
                file.seek(start)
                content = file.read(size)
            if len(content) != size:
                raise ValueError("its storage is cut off")
            return content

        sizes[key] = np.dtype(DTYPES[dtype]).itemsize
        return Storage(dtype, numbers, read)

    with open(path, "rb") as file:
        if unpickled(file, storage_of) != LEGACY_MAGIC:
            raise pickle.UnpicklingError("it is no file of torch.save")
        unpickled(file, storage_of)
        little = unpickled(file, storage_of)["little_endian"]
        content = unpickled(file, storage_of)
        end = os.fstat(file.fileno()).st_size
        for key in map(str, unpickled(file, storage_of)):
            numbers = int.from_bytes(file.read(8), "little" if little else "big")
            places[key] = file.tell(), numbers
            place = file.tell() + numbers * sizes[key]
            if place > end:
                raise ValueError("it is cut off")
            file.seek(place)
    return content, "<" if little else ">"
