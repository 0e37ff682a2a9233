"""Tables that fit the terminal without a word or a name in pieces."""

import os
import sys
from collections.abc import Sequence
from itertools import groupby

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


def print_rows(
    rows: Sequence[dict[str, str]], title: str | None = None, caption: str | None = None
) -> None:
    """Prints rows that have the same columns, in the widest form that fits.

    A table; else one with its headers on several lines; else one for each value of the
    first column, which becomes its title; else a paragraph for each row.

    Args:
        rows: At least one.
        title: Of the whole.
        caption: Beneath it.
    """
    console = plain_console()
    for broken in (False, True):
        table = _table(rows, broken)
        if _fits(console, table):
            table.title, table.caption = title, caption
            console.print(table)
            return
    if title:
        console.print(title)
    first, *others = rows[0]
    groups = [
        (name, [{key: row[key] for key in others} for row in group])
        for name, group in groupby(rows, key=lambda row: row[first])
    ]
    tables = [(name, _table(group, True)) for name, group in groups]
    if others and all(_fits(console, table) for _, table in tables):
        for name, table in tables:
            # Not the table's title, which would be broken to its width.
            console.print(f"{first}: {name}", soft_wrap=True)
            console.print(table)
    else:
        for row in rows:
            for key, value in row.items():
                console.print(f"{key}: {value}", soft_wrap=True)
            console.print()
    if caption:
        console.print(caption)


def _table(rows, broken):
    from rich.table import Table

    headers = [key.replace(" ", "\n") if broken else key for key in rows[0]]
    table = Table(*headers)
    for row in rows:
        table.add_row(*row.values())
    return table


def _fits(console, table):
    from rich.measure import Measurement

    # What it would take, not what it can be squeezed into.
    endless = console.options.update(width=ENDLESS)
    return Measurement.get(console, endless, table).maximum <= console.width
