"""What a command prints when something is wrong with what it was given."""

import sys
import traceback
from collections.abc import Iterable

import typer
from typer.core import TyperGroup

SOURCES = ("keras_sa.", "keras.src.saving.")


class UserErrors(TyperGroup):
    """Commands that end with one line and 1 where others print a traceback.

    For the errors that this package or Keras' loading raises itself, because their
    messages are written for users, for the system's that name a file, and for images
    that can't be decoded. All others are defects, and the traceback tells where.
    """

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (typer.Abort, typer.Exit):
            raise
        except Exception as error:
            message = message_for_users(error)
            if ctx.params.get("traceback") or message is None:
                raise
            typer.echo(f"Error: {message}", err=True)
            raise typer.Exit(1) from error


def message_for_users(error: Exception) -> str | None:
    """What a user needs to know, or `None` if the error is a defect."""
    if isinstance(error, ImportError | OSError | RuntimeError | TypeError | ValueError):
        module = ""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            module = f"{frame.f_globals.get('__name__')}."
        if module.startswith(SOURCES) or getattr(error, "filename", None) is not None:
            return str(error)
    if "tensorflow" not in sys.modules:
        # Then it is no error of `tf.data`, and importing that would take seconds.
        return None
    from keras_sa.data.bad_images import undecodable_images
    from keras_sa.data.coco.reader import unusable_image

    return undecodable_images(error) or unusable_image(error)


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
        if getattr(context.get_parameter_source(option), "name", None) == "COMMANDLINE"
    ]
    if given:
        raise ValueError(
            f"{', '.join(given)} would do nothing here: for {applies_to} alone."
        )
