"""keras-sa weights: what can be downloaded, and what is here."""

from enum import StrEnum
from typing import Annotated

import typer


class Action(StrEnum):
    list = "list"
    fetch = "fetch"
    verify = "verify"


def weights(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of the list. verify: all that are here."),
    ] = None,
) -> None:
    """Lists, downloads or verifies the published weights."""
    from keras_sa.weights.registry import WEIGHTS

    unknown = [name for name in names or [] if name not in WEIGHTS]
    if unknown:
        raise typer.BadParameter(f"There are no weights {unknown}: see the list.")
    if action is Action.list:
        _list(names or list(WEIGHTS))
    elif action is Action.fetch:
        if not names:
            raise typer.BadParameter("Name the weights to download.")
        _fetch(names)
    else:
        _verify(names)


def _list(names):
    from rich.console import Console
    from rich.table import Table

    from keras_sa.weights.download import cache_directory
    from keras_sa.weights.download import source_url
    from keras_sa.weights.registry import ALIASES
    from keras_sa.weights.registry import WEIGHTS

    columns = ("name", "top-1", "top-5", "reported by", "images", "here")
    table = Table(*columns, box=None, title="ImageNet-1k, accuracies in percent")
    for name in names:
        entry = WEIGHTS[name]
        images = entry.preprocessing
        table.add_row(
            name,
            f"{entry.top1:.3f}",
            "" if entry.top5 is None else f"{entry.top5:.3f}",
            entry.reported_by,
            f"{images.resize}/{images.crop} {images.interpolation}",
            "yes" if (cache_directory() / entry.file).is_file() else "no",
        )
    Console().print(table)
    for alias, by_depth in ALIASES.items():
        print(f'weights="{alias}" is {", ".join(by_depth.values())}')
    for name in names:
        entry = WEIGHTS[name]
        place = source_url(entry) or "no download: keras-sa convert FILE --install"
        # Not in the table, so that addresses are not cut.
        print(f"{name}  {place}  license: {entry.license}")


def _fetch(names):
    from keras_sa.weights.download import fetch
    from keras_sa.weights.registry import WEIGHTS

    for name in names:
        typer.echo(f"{name}: {fetch(WEIGHTS[name])}")


def _verify(names):
    from keras_sa.weights.download import cache_directory
    from keras_sa.weights.download import is_intact
    from keras_sa.weights.registry import WEIGHTS

    present = [
        name for name in WEIGHTS if (cache_directory() / WEIGHTS[name].file).is_file()
    ]
    bad = [name for name in names or [] if name not in present]
    for name in bad:
        typer.echo(f"{name}: not here")
    for name in names or present:
        if name in present:
            intact = is_intact(WEIGHTS[name])
            typer.echo(f"{name}: {'intact' if intact else 'DAMAGED'}")
            bad += [] if intact else [name]
    if not (names or present):
        typer.echo(f"No weights in {cache_directory()}.")
    if bad:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(weights)
