"""Versions of a model in a directory, as TF Serving looks for them."""

import os
import tempfile
from pathlib import Path


def version_path(directory: str | Path, version: int, force: bool = False) -> Path:
    """The path of a version that may be written.

    Raises:
        FileExistsError: If it exists and `force` is false.
        ValueError: If `version` is not a positive integer.
    """
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            f"`version` must be an integer of at least 1. Received: version={version!r}"
        )
    path = Path(directory) / str(version)
    if path.exists() and not force:
        raise FileExistsError(
            f"The version {path} exists. Choose another `version`, or replace it with "
            "`force=True` (`--force`)."
        )
    return path


def publish(finished: Path, target: Path, force: bool = False) -> None:
    """Makes a finished directory the version `target`, at once.

    Args:
        finished: The directory, on the same file system.
        target: Where it belongs.
        force: Whether an existing version may be replaced. It is moved aside first
            and comes back if the new one can't be put in its place.

    Raises:
        FileExistsError: If the version came into being meanwhile.
    """
    if not force:
        _rename(finished, target)
        return
    with tempfile.TemporaryDirectory(prefix=".old-", dir=target.parent) as aside:
        old = Path(aside) / target.name
        if target.exists():
            os.rename(target, old)
        try:
            _rename(finished, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise


def _rename(finished, target):
    try:
        # Fails on a directory that is not empty.
        os.rename(finished, target)
    except OSError as error:
        if target.exists():
            raise FileExistsError(
                f"The version {target} was written by somebody else meanwhile."
            ) from error
        raise
