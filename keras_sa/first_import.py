"""Something done at the first import of a module, without importing it now."""

import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager


class _Finder:
    """Finds one module, by asking the others, and wraps its execution."""

    def __init__(self, name, context):
        self.name = name
        self.context = context
        self.searching = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            # The loader is this spec's own, and stays of the type it is.
            execute = spec.loader.exec_module
            spec.loader.exec_module = (  # type: ignore[method-assign]
                lambda module: self._execute(execute, module)
            )
        return spec

    def _execute(self, execute, module):
        # Looking for a module without importing it leaves the finder in its place.
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        with self.context():
            execute(module)


def around_first_import(name: str, context: Callable[[], AbstractContextManager]):
    """Lets a module be imported within a context, whoever imports it first.

    Args:
        name: Of a module of the top level, such as `"tensorflow"`. If it is imported
            already, nothing happens.
        context: Makes the context manager.
    """
    if name not in sys.modules:
        sys.meta_path.insert(0, _Finder(name, context))
