"""PyTorch's files, written without PyTorch."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

STORAGES = {"float32": "FloatStorage", "int64": "LongStorage"}
# How `torch.save` names the folder in its archives.
ROOT = "archive"


def save(state: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes `{"state_dict": state}` as `torch.save` does, with tensors for arrays.

    `torch.load(path, weights_only=True)` reads it.

    Args:
        state: Arrays of float32 or int64 by name.
        path: Where to write.

    Raises:
        ValueError: If an array has another type.
    """
    arrays = {}
    for name, array in state.items():
        array = np.asarray(array)
        if str(array.dtype) not in STORAGES:
            raise ValueError(
                f"Arrays must have one of the types {list(STORAGES)}. "
                f"Received: {name} of {array.dtype}"
            )
        little = array.dtype.newbyteorder("<")
        arrays[name] = np.ascontiguousarray(array, little).reshape(array.shape)
    tensors = [
        _text(name) + _tensor(str(key), array)
        for key, (name, array) in enumerate(arrays.items())
    ]
    inner = pickle.EMPTY_DICT + pickle.MARK + b"".join(tensors) + pickle.SETITEMS
    outer = pickle.EMPTY_DICT + _text("state_dict") + inner + pickle.SETITEM
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(
            f"{ROOT}/data.pkl", pickle.PROTO + b"\x02" + outer + pickle.STOP
        )
        archive.writestr(f"{ROOT}/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"{ROOT}/data/{key}", array.tobytes())
        archive.writestr(f"{ROOT}/version", "3\n")


def _tensor(key, array):
    """The instructions that put a tensor on the stack."""
    storage = (
        pickle.MARK
        + _text("storage")
        + _global("torch", STORAGES[str(array.dtype.newbyteorder("="))])
        + _text(key)
        + _text("cpu")
        + _integer(array.size)
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    strides = [step // array.itemsize for step in array.strides]
    return (
        _global("torch._utils", "_rebuild_tensor_v2")
        + pickle.MARK
        + storage
        + _integer(0)
        + _integers(array.shape)
        + _integers(strides)
        + pickle.NEWFALSE
        + _global("collections", "OrderedDict")
        + pickle.EMPTY_TUPLE
        + pickle.REDUCE
        + pickle.TUPLE
        + pickle.REDUCE
    )


def _text(value):
    content = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(content)) + content


def _global(module, name):
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _integer(value):
    if value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    content = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(content)]) + content


def _integers(values):
    return pickle.MARK + b"".join(map(_integer, values)) + pickle.TUPLE
