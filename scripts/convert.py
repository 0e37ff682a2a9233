"""keras-sa convert: a weight file in another format."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts.user_errors import refuse_given


def convert(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="The weight file.")],
    target: Annotated[
        Path | None,
        typer.Argument(help="The file to write. Its ending says the format."),
    ] = None,
    install: Annotated[
        bool,
        typer.Option("--install", help='Put it where weights="sa_imagenet" finds it.'),
    ] = False,
    add_attention: Annotated[
        bool,
        typer.Option(
            "--add-attention",
            help="Make a plain ResNet an SA-ResNet that starts as the same function.",
        ),
    ] = False,
    groups: Annotated[
        int, typer.Option(help="Groups of the added attention.", min=1)
    ] = 64,
    shuffle: Annotated[
        bool, typer.Option(help="Whether the attention shuffles the channels.")
    ] = True,
    key: Annotated[
        str | None,
        typer.Option(help="Which dictionary of a PyTorch file, such as model_ema."),
    ] = None,
) -> None:
    """Converts a weight file and prints what went where.

    Formats: .pth, .pt, .pth.tar, .safetensors, .npz, .weights.h5, .keras.
    """
    if (target is None) != install:
        raise typer.BadParameter("Give either TARGET or --install.")
    if not add_attention:
        refuse_given(context, ["groups"], "`--add-attention`")
    from keras_sa.weights import export_weights
    from keras_sa.weights import install_weights
    from keras_sa.weights import load_checkpoint
    from keras_sa.weights.architecture import read_architecture

    arguments = read_architecture(source, key)
    if add_attention:
        if arguments["attention"] is not None:
            raise ValueError(
                "`--add-attention` is for plain ResNets. Received: "
                f"{str(source)!r} with the attention {arguments['attention']!r}"
            )
        arguments.update(attention="sa", groups=groups)
    model = _network({"shuffle": shuffle, **arguments})
    report = load_checkpoint(model, source, key=key)
    if target is None:
        target = install_weights(model)
    else:
        export_weights(model, target)
    typer.echo(f"{report}\nwritten to {target}")


def _network(arguments):
    import keras

    from keras_sa.applications import AttentionResNet

    channels = arguments.pop("channels")
    options = {name: arguments.pop(name, None) for name in ("groups", "shuffle")}
    last = keras.config.image_data_format() == "channels_last"
    return AttentionResNet(
        **arguments,
        weights=None,
        input_shape=(None, None, channels) if last else (channels, None, None),
        attention_options=options if arguments["attention"] else None,
    )


if __name__ == "__main__":
    typer.run(convert)
