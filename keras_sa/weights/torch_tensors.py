"""Tensors in PyTorch's files, which are read when their numbers are asked for."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

ByteOrder = Literal["<", ">"]
# NumPy's names of PyTorch's types; bfloat16 is the upper half of a float32.
DTYPES = {
    "float16": "f2",
    "float32": "f4",
    "float64": "f8",
    "bfloat16": "u2",
    "int8": "i1",
    "int16": "i2",
    "int32": "i4",
    "int64": "i8",
    "uint8": "u1",
    "bool": "?",
    "complex64": "c8",
    "complex128": "c16",
}


@dataclass(frozen=True)
class Storage:
    """A block of numbers in a file.

    Args:
        dtype: PyTorch's name of their type.
        numbers: How many there are.
        read: Returns their bytes.
    """

    dtype: str
    numbers: int
    read: Callable[[], bytes]

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a storage has no state")


class Tensor:
    """A view of a storage, whose numbers are read when asked for.

    Args:
        storage: The `Storage`.
        offset: Index of the first number.
        shape: Of the tensor.
        stride: Steps between neighbours along each axis, in numbers.
        dtype: PyTorch's name of the type, that of the storage by default.

    Raises:
        pickle.UnpicklingError: If the view does not lie within the storage.
    """

    __slots__ = ("dtype", "offset", "shape", "storage", "stride")

    def __init__(self, storage, offset, shape, stride, dtype=None):
        shape, stride = tuple(shape), tuple(stride)
        numbers = (offset, *shape, *stride)
        whole = all(type(number) is int and 0 <= number < 2**62 for number in numbers)
        if not isinstance(storage, Storage) or not whole or len(shape) != len(stride):
            raise pickle.UnpicklingError("a tensor's description is damaged")
        self.storage, self.offset, self.shape, self.stride = (
            storage,
            offset,
            shape,
            stride,
        )
        self.dtype = storage.dtype if dtype is None else dtype
        end = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        size = self._item() * end + self._item() if 0 not in shape else 0
        if size > storage.numbers * np.dtype(DTYPES[storage.dtype]).itemsize:
            raise pickle.UnpicklingError("a tensor ends behind its storage")

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a tensor has no state")

    def _item(self):
        # Types that NumPy hasn't are never read; one byte is the least they take.
        return np.dtype(DTYPES.get(self.dtype, "u1")).itemsize

    def numpy(self, byteorder: ByteOrder = "<") -> np.ndarray:
        """The values; bfloat16 as float32.

        Raises:
            ValueError: If NumPy has no such type or the storage is damaged.
        """
        if self.dtype not in DTYPES:
            raise ValueError(f"NumPy has no type {self.dtype}")
        dtype = np.dtype(DTYPES[self.dtype]).newbyteorder(byteorder)
        flat = np.frombuffer(self.storage.read(), dtype)
        strides = [step * dtype.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, strides, writeable=False
        )
        values = np.array(view, dtype.newbyteorder("="))
        if self.dtype == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values
