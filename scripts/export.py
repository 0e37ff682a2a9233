"""Exports a trained classifier: SavedModel, Keras, ONNX, LiteRT or OpenVINO."""

from pathlib import Path
from typing import Annotated
from typing import Any

import typer

from keras_sa.scripts.user_errors import refuse_given

FORMATS = {".keras": "keras", ".onnx": "onnx", ".xml": "openvino", ".tflite": "litert"}
# Options by what they are for.
SAVED_MODEL = (
    "version",
    "labels",
    "top_k",
    "from_logits",
    "multi_label",
    "server_files",
    "fused",
)
IMAGES = ("image_size", "normalize", "mean", "std")


def export(
    context: typer.Context,
    model: Annotated[
        Path, typer.Argument(help="A .keras file, or the directory of a training.")
    ],
    output: Annotated[Path, typer.Argument(help="A model directory, or a file.")],
    format: Annotated[
        str | None,
        typer.Option(
            help="saved_model, keras, onnx, litert or openvino. "
            "Defaults to what the file's name ends in."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float32, float16, bfloat16 or int8.")
    ] = "float32",
    version: Annotated[int, typer.Option(help="Version of a SavedModel.")] = 1,
    labels: Annotated[
        Path | None, typer.Option(help="A text file with one label on each line.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Classes in an answer.")] = 5,
    from_logits: Annotated[
        bool | None,
        typer.Option(help="Outputs still need a softmax or sigmoid, or not."),
    ] = None,
    multi_label: Annotated[
        bool, typer.Option(help="Several classes an image: a sigmoid for each logit.")
    ] = False,
    image_size: Annotated[
        int | None, typer.Option(help="For networks of free size.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option(help="No: the network takes 0..255 by itself.")
    ] = True,
    mean: Annotated[
        list[float] | None,
        typer.Option(help="Of each channel in 0..1, once a channel; not ImageNet's."),
    ] = None,
    std: Annotated[
        list[float] | None, typer.Option(help="Standard deviations, likewise.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="int8: a folder of typical images.")
    ] = None,
    server_files: Annotated[
        bool, typer.Option(help="Add warm-up requests and TF Serving's settings.")
    ] = False,
    fused: Annotated[bool, typer.Option(help="Fuse a SavedModel's network.")] = True,
    force: Annotated[bool, typer.Option(help="Replace what is there.")] = False,
) -> None:
    """Writes a trained classifier for TF Serving or for another runtime."""
    format = format or FORMATS.get(output.suffix, "saved_model")
    formats = ["saved_model", *FORMATS.values()]
    if format not in formats:
        raise ValueError(f"`--format` must be one of {formats}. Received: {format}")
    if model.is_dir():
        refuse_given(context, IMAGES, "a .keras file, since a training knows its own")
    if not normalize:
        refuse_given(context, ("mean", "std"), "a network without `--no-normalize`")
    if format == "saved_model":
        refuse_given(context, ["calibration"], "int8, which a SavedModel does not have")
    else:
        refuse_given(context, SAVED_MODEL, "a SavedModel")
        if calibration is None:
            refuse_given(context, IMAGES, "a SavedModel, or with `--calibration`")

    from keras_sa import serving

    network, names, options = _load(model, image_size, normalize, mean, std)
    if format == "saved_model":
        if precision != "float32":
            # Fused first: what is folded is folded in float32.
            network = serving.fuse(network, whole=True) if fused else network
            network, fused = serving.with_precision(network, precision), False
        path = serving.export(
            network,
            output,
            version,
            labels or names,
            top_k,
            from_logits=from_logits,
            multi_label=multi_label,
            fused=fused,
            warmup=server_files,
            force=force,
            **options,
        )
        if server_files:
            serving.write_server_files(output, force)
    else:
        images = _calibration(network, calibration, options)
        path = serving.convert(network, output, format, precision, images, force)
    typer.echo(path)


def _load(path, image_size, normalize, mean, std):
    """The network, the names of its classes if known, and what prepares its images."""
    import keras

    from keras_sa.recipes.classifier_session import image_options
    from keras_sa.recipes.classifier_session import load_trained
    from keras_sa.serving.image_input import image_shape
    from keras_sa.serving.image_input import normalization

    if path.is_dir():
        network, settings = load_trained(path)
        prepare = image_options(settings)
        channels = prepare.pop("channels")
        mean, std = prepare.pop("mean"), prepare.pop("std")
        prepare["preprocess"] = normalization(channels, mean, std)
        return network, settings["class_names"], prepare
    network = keras.saving.load_model(path, compile=False)
    size = (image_size, image_size) if image_size else None
    options: dict[str, Any] = {"image_size": size}
    if mean or std:
        channels = image_shape(network, size)[-1]
        options["preprocess"] = normalization(channels, mean, std, network)
    if not normalize:
        options["preprocess"] = lambda images: images
    return network, None, options


def _calibration(network, folder, options):
    from keras_sa.serving.formats.calibration import CalibrationImages
    from keras_sa.utils.evaluation_crop import CROP_RATIO

    if folder is None:
        return None
    return CalibrationImages(
        network,
        folder,
        options["image_size"],
        options.get("preprocess"),
        options.get("crop_ratio", CROP_RATIO),
    )


if __name__ == "__main__":
    typer.run(export)
