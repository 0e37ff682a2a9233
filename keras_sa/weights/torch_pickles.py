"""The pickles in PyTorch's files: data, and no program that they could be.

Pickles are programs. Here every instruction is compared with a list before the first
one is executed, and the only things that a program can call are functions of this
module, under the names that PyTorch's have.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import BinaryIO

from keras_sa.weights.torch_tensors import DTYPES
from keras_sa.weights.torch_tensors import Storage
from keras_sa.weights.torch_tensors import Tensor

# What `torch.save` writes; nothing that looks up classes in another way.
OPCODES = frozenset(
    "APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPERSID BINPUT BINSTRING "
    "BINUNICODE BUILD EMPTY_DICT EMPTY_LIST EMPTY_SET EMPTY_TUPLE FRAME GLOBAL "
    "LONG1 LONG_BINGET LONG_BINPUT MARK MEMOIZE NEWFALSE NEWOBJ NEWTRUE NONE PROTO "
    "REDUCE SETITEM SETITEMS SHORT_BINSTRING SHORT_BINUNICODE STACK_GLOBAL STOP TUPLE "
    "TUPLE1 TUPLE2 TUPLE3".split()
)
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


def unpickled(file: BinaryIO, storage_of: Callable[[str, str, int], Storage]) -> Any:
    """What the pickle at a file's position holds, with `Tensor`s for tensors.

    Args:
        file: The file; its position is behind the pickle afterwards.
        storage_of: Makes the `Storage` of a key, a type's name and a number of numbers.

    Raises:
        pickle.UnpicklingError: If the pickle is cut off or does what it may not.
    """
    start = file.tell()
    try:
        for count, (code, argument, _) in enumerate(pickletools.genops(file)):
            if code.name not in OPCODES:
                raise pickle.UnpicklingError(f"the instruction {code.name}")
            # The memory for remembered objects is as long as the largest index.
            if code.name.endswith("BINPUT") and (argument or 0) > count:
                raise pickle.UnpicklingError(f"the index {argument}")
    except ValueError as error:
        raise pickle.UnpicklingError("its pickle is cut off") from error
    end = file.tell()
    file.seek(start)
    return _Unpickler(file.read(end - start), storage_of).load()
