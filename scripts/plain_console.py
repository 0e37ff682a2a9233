"""Where the commands print tables."""

import os
import sys

# A file or another program has no edge: nothing is cut or broken for it.
ENDLESS = 10_000


def plain_console():
    """A `rich.console.Console` that prints the names of files and classes as they are.

    Rich's own takes `[red]` for a colour and `:cat:` for a picture, and cuts what is
    piped at 80 columns. `COLUMNS` sets another width.
    """
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(markup=False, emoji=False, width=ENDLESS if piped else None)
