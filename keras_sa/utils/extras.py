"""Packages that only some features need."""

import importlib
from types import ModuleType


def require_extra(module: str, extra: str) -> ModuleType:
    """Imports a module of an optional dependency.

    Args:
        module: The module's name, such as `"matplotlib.pyplot"`.
        extra: The extra of this package that installs it.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"This needs the package {module.split('.')[0]!r}. Install it with "
            f"`pip install 'keras-sa[{extra}]'`."
        ) from error
