"""PyTorch's files, read without PyTorch: tensors, and nothing else that is in them.

A file of `torch.save` is a pickle that refers to blocks of numbers, in a zip archive
or, before PyTorch 1.6, in front of them. Pickles are programs. Here every instruction
is compared with a list before the first one is executed, and the only things that a
program can call are functions of this module, under the names that PyTorch's have.
"""

import io
import os
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# A network's names and shapes take some 100 kB.
MAX_PICKLE = 2**26
# What `torch.save` writes; nothing that looks up classes in another way.
OPCODES = frozenset(
    "APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPERSID BINPUT BINSTRING "
    "BINUNICODE BUILD EMPTY_DICT EMPTY_LIST EMPTY_SET EMPTY_TUPLE FRAME GLOBAL "
    "LONG1 LONG_BINGET LONG_BINPUT MARK MEMOIZE NEWFALSE NEWOBJ NEWTRUE NONE PROTO "
    "REDUCE SETITEM SETITEMS SHORT_BINSTRING SHORT_BINUNICODE STACK_GLOBAL STOP TUPLE "
    "TUPLE1 TUPLE2 TUPLE3".split()
)
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
STORAGES = {
    "HalfStorage": "float16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "BFloat16Storage": "bfloat16",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


class Inert(dict):
    """A dictionary or a record of a file; further state of it is left out."""

    def __setstate__(self, state):
        pass


@dataclass(frozen=True)
class Named:
    """The name of an element type, of a storage class or of a device."""

    name: str

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a name has no state")


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

    def numpy(self, byteorder: str = "<") -> np.ndarray:
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


def _rebuild_tensor(storage, offset, size, stride, *_):
    return Tensor(storage, offset, size, stride)


def _rebuild_typed_tensor(storage, offset, size, stride, grad, hooks, dtype, *_):
    if not isinstance(dtype, Named):
        raise pickle.UnpicklingError("a tensor's type is damaged")
    return Tensor(storage, offset, size, stride, dtype.name)


def _rebuild_parameter(data, *_):
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError("a parameter is no tensor")
    return data


def _size(numbers=()):
    return tuple(numbers)


def _device(*arguments):
    return Named(str(arguments))


CALLABLE = {
    ("collections", "OrderedDict"): Inert,
    # timm's trainer stores its command line, which is data too.
    ("argparse", "Namespace"): Inert,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}
TYPES = ("float8_", "quint", "qint", "uint")


class _Unpickler(pickle.Unpickler):
    def __init__(self, content, storage_of):
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self._storage_of = storage_of

    def find_class(self, module, name):
        if (module, name) in CALLABLE:
            return CALLABLE[module, name]
        if name in STORAGES and module in ("torch", "torch.cuda", "torch.storage"):
            return Named(STORAGES[name])
        if module == "torch" and (name in DTYPES or name.startswith(TYPES)):
            return Named(name)
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid):
        kind, storage, key, _, numbers, *view = pid
        if (
            kind not in ("storage", b"storage")
            or not isinstance(storage, Named)
            or storage.name not in DTYPES
            or type(numbers) is not int
            or numbers < 0
            or (view and view[0] is not None)
        ):
            raise pickle.UnpicklingError("a reference to a storage is damaged")
        return self._storage_of(str(key), storage.name, numbers)


def load(path: str | Path) -> tuple[object, str]:
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

    return _unpickled(io.BytesIO(content), storage_of), ">" if big else "<"


def _load_legacy(path):
    places = {}

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

    sizes = {}
    with open(path, "rb") as file:
        if _unpickled(file, storage_of) != LEGACY_MAGIC:
            raise pickle.UnpicklingError("it is no file of torch.save")
        _unpickled(file, storage_of)
        system = _unpickled(file, storage_of)
        order = "<" if system["little_endian"] else ">"
        content = _unpickled(file, storage_of)
        end = os.fstat(file.fileno()).st_size
        for key in map(str, _unpickled(file, storage_of)):
            order_name = "little" if order == "<" else "big"
            numbers = int.from_bytes(file.read(8), order_name)
            places[key] = file.tell(), numbers
            place = file.tell() + numbers * sizes[key]
            if place > end:
                raise ValueError("it is cut off")
            file.seek(place)
    return content, order


def _unpickled(file: BinaryIO, storage_of):
    start = file.tell()
    try:
        for count, (code, argument, _) in enumerate(pickletools.genops(file)):
            if code.name not in OPCODES:
                raise pickle.UnpicklingError(f"the instruction {code.name}")
            # The memory for remembered objects is as long as the largest index.
            if code.name.endswith("BINPUT") and argument > count:
                raise pickle.UnpicklingError(f"the index {argument}")
    except ValueError as error:
        raise pickle.UnpicklingError("its pickle is cut off") from error
    end = file.tell()
    file.seek(start)
    return _Unpickler(file.read(end - start), storage_of).load()
