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
    from keras_sa.scripts.plain_console import print_rows
    from keras_sa.weights.download import cache_directory
    from keras_sa.weights.download import source_url
    from keras_sa.weights.registry import ALIASES
    from keras_sa.weights.registry import WEIGHTS

    rows = []
    for name in names:
        entry = WEIGHTS[name]
        images = entry.preprocessing
        here = (cache_directory() / entry.file).is_file()
        rows.append(
            {
                "name": name,
                "top-1": f"{entry.top1:.3f}",
                "top-5": "" if entry.top5 is None else f"{entry.top5:.3f}",
                "reported by": entry.reported_by,
                "images": f"{images.resize}/{images.crop} {images.interpolation}",
                "here": "yes" if here else "no",
            }
        )
    print_rows(rows, "ImageNet-1k, accuracies in percent")
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
