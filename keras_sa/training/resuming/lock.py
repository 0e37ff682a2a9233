"""One training at a time in a directory."""

from contextlib import contextmanager
from pathlib import Path

import filelock

LOCK = ".lock"


@contextmanager
def only_training(directory: str | Path):
    """Keeps others out of a directory; a process that was killed keeps nobody out.

    Args:
        directory: Where a training is saved. Made if missing.

    Raises:
        ValueError: If another process trains there.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise ValueError(
            f"Another process is training in {str(directory)!r}: wait for its end, "
            "stop it, or give another directory."
        ) from error
    try:
        yield
    finally:
        lock.release()
