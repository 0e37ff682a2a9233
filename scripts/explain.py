"""Shows what a trained classifier sees in images."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts.user_errors import refuse_given

DPI = 110


def explain(
    context: typer.Context,
    model: Annotated[
        Path, typer.Argument(help="A .keras file, or the directory of a training.")
    ],
    images: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path(
        "explanations"
    ),
    top: Annotated[int, typer.Option(min=1, help="Classes with a Grad-CAM.")] = 3,
    layer: Annotated[
        str | None, typer.Option(help="Whose maps. Defaults to the last with maps.")
    ] = None,
    groups: Annotated[
        int | None, typer.Option(help="Groups of its channels. Defaults to 64.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A text file with one label on each line.")
    ] = None,
    crop_ratio: Annotated[
        float | None, typer.Option(help="Part of the short side the network sees.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="For .keras files of free size.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option(help="No: a .keras file takes 0..255 by itself.")
    ] = True,
    multi_label: Annotated[
        bool, typer.Option(help="Several classes an image: a sigmoid for each logit.")
    ] = False,
    skip_bad_images: Annotated[
        bool, typer.Option(help="Leave out undecodable images.")
    ] = False,
) -> None:
    """Writes a picture for each image: Grad-CAM, gates and group scores.

    Images are prepared as the training's evaluation did it; those of a .keras file as
    ImageNet's are, with a crop of 0.875 of the short side.
    """
    if model.is_dir():
        refuse_given(
            context,
            ("image_size", "normalize"),
            "a .keras file, since a training knows its own",
        )

    from keras_sa.data import load
    from keras_sa.data.sources.unlabelled_files import image_files
    from keras_sa.serving.saved_model.classifier_export import label_lines
    from keras_sa.utils.extras import require_extra
    from keras_sa.visualization import explain as explain_image
    from keras_sa.visualization import explanation_figure
    from keras_sa.visualization.canvas import EXTRA

    require_extra("matplotlib", EXTRA)
    source = image_files(images)
    network, names, options = _load(model, image_size, normalize)
    if crop_ratio is not None:
        options["crop_ratio"] = crop_ratio
    data = load(
        source,
        "all",
        training=False,
        batch_size=1,
        skip_bad_images=True,  # found out, and refused below
        **options,
    )
    names = label_lines(labels or names, network.output_shape[-1]).splitlines()
    targets = _targets(source.files, output)
    output.mkdir(parents=True, exist_ok=True)
    for pixels, number, weight in data.epoch():
        file, target = source.files[int(number[0])], targets[int(number[0])]
        if not weight[0]:
            problem = f"{file} can't be decoded: {data.bad_images.found[file]}"
            if not skip_bad_images:
                raise ValueError(problem)
            typer.echo(problem, err=True)
            continue
        explanation = explain_image(
            network, pixels[0].numpy(), top, layer, groups, multi_label
        )
        image = data.preparation.shown(pixels[0].numpy())
        explanation = dataclasses.replace(explanation, image=image)
        figure = explanation_figure(explanation, names, Path(file).name)
        figure.savefig(target, dpi=DPI)
        best = names[explanation.classes[0]]
        typer.echo(f"{file}: {best} {explanation.scores[0]:.1%}, {target}")


def _load(path, image_size, normalize):
    """The network, the names of its classes if known, and options of `load`."""
    import keras

    from keras_sa.recipes.classifier_session import image_options
    from keras_sa.recipes.classifier_session import load_trained
    from keras_sa.serving.image_input import image_shape
    from keras_sa.utils.input_scaling import takes_pixels

    if path.is_dir():
        network, settings = load_trained(path)
        return network, settings["class_names"], image_options(settings)
    network = keras.saving.load_model(path, compile=False)
    if not network.inputs or len(getattr(network.output, "shape", ())) != 2:
        raise ValueError(
            "The model must be a classifier with one output of the shape (batch, "
            f"classes). Received: {network.name!r} in {str(path)!r}"
        )
    size = (image_size, image_size) if image_size else None
    *size, channels = image_shape(network, size)
    normalize = normalize and not takes_pixels(network)
    options = {"image_size": size, "channels": channels, "normalize": normalize}
    return network, None, options


def _targets(files, output):
    """A picture's name for each image; images of the same name get a number."""
    targets, taken = [], set()
    for file in map(Path, files):
        name, number = f"{file.stem}_explained", 1
        while name in taken:
            number += 1
            name = f"{file.stem}_explained_{number}"
        taken.add(name)
        targets.append(output / f"{name}.png")
    own = {Path(file).resolve() for file in files}
    overwritten = [str(target) for target in targets if target.resolve() in own]
    if overwritten:
        raise ValueError(
            "These pictures would replace images that are to be explained: give "
            f"another --output. Received: {overwritten}"
        )
    return targets


if __name__ == "__main__":
    typer.run(explain)
