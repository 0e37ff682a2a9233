"""Where the commands print tables."""


def plain_console():
    """A `rich.console.Console` that prints the names of files and classes as they are.

    Rich's own takes `[red]` for a colour and `:cat:` for a picture.
    """
    from rich.console import Console

    return Console(markup=False, emoji=False)
