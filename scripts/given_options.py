"""Options that are refused where they would do nothing."""

from collections.abc import Iterable

import typer


def refuse_given(
    context: typer.Context, options: Iterable[str], applies_to: str
) -> None:
    """Refuses options of a command that were given, whatever their values.

    Args:
        context: Of the command.
        options: The names of its parameters.
        applies_to: What these options are for.

    Raises:
        ValueError: If one was given.
    """
    given = [
        ("--no-" if context.params[option] is False else "--")
        + option.replace("_", "-")
        for option in options
        if context.get_parameter_source(option).name == "COMMANDLINE"
    ]
    if given:
        raise ValueError(
            f"{', '.join(given)} would do nothing here: for {applies_to} alone."
        )
