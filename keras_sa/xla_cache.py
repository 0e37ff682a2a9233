"""Keeping what XLA compiles for later processes."""

import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

VARIABLE = "TF_XLA_FLAGS"
FLAG = "--tf_xla_persistent_cache_directory"
# Fields of TensorFlow's files: the key, the program, and what it was compiled to.
PARTS = {1, 2, 3}


def keep_compiled(directory: Path) -> Path:
    """Lets TensorFlow keep what XLA compiles, and take what was kept.

    TensorFlow asks for a file by the program alone. What else decides what is compiled
    is therefore in the folder's name: TensorFlow's version, the processor, the GPUs
    and the environment's settings of both. A file that a crash of the machine has cut
    short is deleted: TensorFlow fails on it.

    Args:
        directory: Of such folders. Nothing in it is ever needed.

    Returns:
        The folder for this process.

    Raises:
        RuntimeError: If TensorFlow is imported already: it reads its flags once.
        ValueError: If the environment sets such a folder, too.
    """
    if "tensorflow" in sys.modules:
        raise RuntimeError("XLA's cache must be chosen before TensorFlow is imported.")
    flags = os.environ.get(VARIABLE, "")
    if FLAG in flags:
        raise ValueError(
            f"The environment sets a cache for XLA already: {VARIABLE}={flags}"
        )
    folder = Path(directory).absolute() / _key()
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.pb"):
        if not _is_whole(file):
            file.unlink(missing_ok=True)
    os.environ[VARIABLE] = f"{flags} {FLAG}='{folder}'".strip()
    return folder


def _key():
    """A name for everything beside the program that decides what is compiled."""
    settings = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("TF_", "XLA_", "NVIDIA_"))
        and not name.startswith(("TF_CONFIG", "TF_CPP_", "NVIDIA_VISIBLE"))
    }
    described = [
        platform.machine(),
        *_lines(Path("/proc/cpuinfo"), "model name", "flags"),
        *(
            line
            for gpu in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
            for line in _lines(gpu, "Model")
        ),
        *(f"{name}={value}" for name, value in sorted(settings.items())),
    ]
    digest = hashlib.sha256("\n".join(described).encode()).hexdigest()
    return f"tensorflow-{metadata.version('tensorflow')}-{digest[:12]}"


def _lines(file, *names):
    """The first line of each name in a file of the system, if there is one."""
    if not file.is_file():
        return []
    lines = file.read_text(errors="replace").splitlines()
    found = ([line for line in lines if line.startswith(name)] for name in names)
    return [each[0] for each in found if each]


def _is_whole(path):
    """Whether a file has all its parts and nothing is cut off its end."""
    size, found = path.stat().st_size, set()
    with path.open("rb") as file:
        while file.tell() < size:
            found.add(_number(file) >> 3)
            file.seek(_number(file), os.SEEK_CUR)
        return file.tell() == size and found >= PARTS


def _number(file):
    """A number of protocol buffers: seven bits a byte, the lowest first."""
    number = 0
    for shift in range(0, 64, 7):
        byte = (file.read(1) or b"\0")[0]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return number
