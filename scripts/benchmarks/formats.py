"""A network in every file format, run by the format's own runtime."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from typing import Any

import typer

SIZE = 224
CALIBRATION_BATCHES = 8
REFERENCE = "keras, not fused"
# A softmax of float32 has hardly smaller ones.
SMALLEST = 1e-30
SUFFIXES = {"keras": ".keras", "onnx": ".onnx", "openvino": ".xml", "litert": ".tflite"}
PRECISIONS = {
    "saved_model": ("float32",),
    "keras": ("float32", "float16", "bfloat16"),
    "onnx": ("float32", "float16", "int8"),
    "openvino": ("float32", "float16", "int8"),
    "litert": ("float32", "float16", "int8"),
}
FORMATS = list(PRECISIONS)


def formats(
    trained: Annotated[
        Path | None,
        typer.Option(help="Directory of a training; else a full SA-ResNet-50."),
    ] = None,
    format: Annotated[
        list[str], typer.Option(help="saved_model, keras, onnx, openvino, litert.")
    ] = FORMATS,
    images: Annotated[
        int,
        typer.Option(min=1, help="Of the training's test split, for the agreement."),
    ] = 2000,
    batch: Annotated[int, typer.Option(min=1, help="Images in a timed batch.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Compares what each format answers with the network itself, and how fast.

    int8 takes its ranges from training images. Without a training they are random,
    like the network: then only its speed says something.
    """
    from keras_sa.scripts.benchmarks.report import report

    unknown = set(format) - set(PRECISIONS)
    if unknown:
        raise typer.BadParameter(f"--format must be of {list(PRECISIONS)}: {unknown}")
    network, (inputs, labels), calibration = (
        _full() if trained is None else _trained(trained)
    )
    inputs = inputs[:images]
    if labels is not None:
        labels = labels[:images]
    with tempfile.TemporaryDirectory() as folder:
        rows = _rows(
            network, format, inputs, calibration, batch, repeats, Path(folder), labels
        )
    shape = "x".join(map(str, inputs.shape[1:]))
    title = f"{network.name}, {len(inputs)} images of {shape}; times of batch {batch}"
    report(title, rows, csv)


def _full():
    """A network of full size whose weights are as if trained, and random images."""
    import numpy as np

    from keras_sa.scripts.benchmarks.network_costs import build

    options = {"depth": 50, "attention": "sa", "classifier_activation": None}
    shape = (SIZE, SIZE, 3)
    images = np.random.default_rng(0).standard_normal((8, *shape)).astype("float32")
    return build(options, shape), (images, None), [images]


def _trained(directory):
    """A trained network without its softmax, a test split, calibration batches."""
    import keras
    import numpy as np

    from keras_sa.data import load
    from keras_sa.recipes.classifier_session import image_options
    from keras_sa.recipes.classifier_session import load_trained

    model, settings = load_trained(directory)
    model.layers[-1].activation = keras.activations.linear
    network = keras.models.clone_model(model)
    network.set_weights(model.get_weights())

    def batches(split):
        data = load(
            settings["recipe"]["data"],
            split,
            training=False,
            batch_size=64,
            one_hot=False,
            drop_remainder=True,
            **image_options(settings),
        )
        dataset = data.dataset().take(data.steps_per_epoch)
        return [batch[:2] for batch in dataset.as_numpy_iterator()]

    train = [images for images, _ in batches("train")[:CALIBRATION_BATCHES]]
    test = zip(*batches("test"), strict=True)
    return network, [np.concatenate(part) for part in test], train


def _rows(network, formats, inputs, calibration, batch, repeats, folder, labels=None):
    import statistics

    import numpy as np

    from keras_sa.scripts.benchmarks.timing import interleaved
    from keras_sa.scripts.benchmarks.timing import median_ratio

    names = [
        (format, precision) for format in formats for precision in PRECISIONS[format]
    ]
    functions: dict[Any, Callable] = {REFERENCE: _keras_function(network)}
    sizes: dict[Any, int | None] = {REFERENCE: None}
    for name in names:
        path = _write(network, *name, calibration, folder)
        sizes[name] = sum(
            file.stat().st_size for file in _files(path) if file.is_file()
        )
        functions[name] = OPEN[name[0]](path)
    expected = _in_batches(functions[REFERENCE], inputs, batch)
    answers = {name: _in_batches(f, inputs, batch) for name, f in functions.items()}
    part = inputs[:batch]
    calls = {name: functools.partial(f, part) for name, f in functions.items()}
    times = interleaved(calls, repeats)
    rows = []
    for name, answer in answers.items():
        float32 = (name[0], "float32") if name != REFERENCE else REFERENCE
        size = sizes[name]
        if name[0] == "saved_model":
            answer = _logits(answer, expected)
        agree = np.mean(answer.argmax(1) == expected.argmax(1))
        right = None if labels is None else np.mean(answer.argmax(1) == labels)
        rows.append(
            {
                "format": name if name == REFERENCE else name[0],
                "precision": "float32" if name == REFERENCE else name[1],
                "size": "" if size is None else f"{size / 1e6:.1f} MB",
                "difference": f"{np.abs(answer - expected).max() / expected.std():.1e}",
                "same class": f"{100 * agree:.2f} %",
                "top-1": "" if right is None else f"{100 * right:.2f} %",
                "median": f"{1e3 * statistics.median(times[name]):.1f} ms",
                "ratio to float32": f"{median_ratio(times[name], times[float32]):.3f}",
            }
        )
    return rows


def _logits(probabilities, expected):
    """The logits behind probabilities; the expected ones where they are too small."""
    import numpy as np

    known = probabilities > SMALLEST
    logits = np.log(np.maximum(probabilities, SMALLEST))
    logits += expected.max(1, keepdims=True) - logits.max(1, keepdims=True)
    return np.where(known, logits, expected)


def _write(network, format, precision, calibration, folder):
    from keras_sa import serving

    if format == "saved_model":
        return serving.export(network, folder / "saved_model", preprocess=lambda x: x)
    path = folder / f"{format}_{precision}{SUFFIXES[format]}"
    images = calibration if precision == "int8" else None
    return serving.convert(network, path, format, precision, images)


def _files(path):
    """All files of a format; OpenVINO has a second one beside the first."""
    return path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")


def _in_batches(function, inputs, batch):
    import numpy as np

    return np.concatenate(
        [function(inputs[i : i + batch]) for i in range(0, len(inputs), batch)]
    )


def _keras_function(network):
    import tensorflow as tf

    function = tf.function(lambda images: network(images, training=False))
    return lambda images: function(images).numpy().astype("float32")


def _open_keras(path):
    import keras

    return _keras_function(keras.saving.load_model(path, compile=False))


def _open_saved_model(path):
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    signature = model.signatures["predict_images"]

    # The model is held, or its functions would lose their tables.
    def run(images, model=model):
        return signature(images=tf.constant(images))["probabilities"].numpy()

    return run


def _open_onnx(path):
    from keras_sa.utils.cpu_count import cpu_count
    from keras_sa.utils.extras import require_extra

    runtime = require_extra("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cpu_count()
    session = runtime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images})[0]


def _open_openvino(path):
    from keras_sa.utils.extras import require_extra

    # Without it newer processors compute in bfloat16.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    core = require_extra("openvino", "openvino").Core()
    compiled = core.compile_model(str(path), "CPU", options)
    return lambda images: compiled(images)[0]


def _open_litert(path):
    from keras_sa.utils.cpu_count import cpu_count
    from keras_sa.utils.extras import require_extra

    runtime = require_extra("ai_edge_litert.interpreter", "litert")
    interpreter = runtime.Interpreter(str(path), num_threads=cpu_count())
    index = interpreter.get_input_details()[0]["index"]
    shapes: list[tuple[int, ...]] = []

    def run(images):
        if shapes != [images.shape]:
            interpreter.resize_tensor_input(index, images.shape)
            interpreter.allocate_tensors()
            shapes[:] = [images.shape]
        interpreter.set_tensor(index, images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


OPEN: dict[str, Callable] = {
    "saved_model": _open_saved_model,
    "keras": _open_keras,
    "onnx": _open_onnx,
    "openvino": _open_openvino,
    "litert": _open_litert,
}

if __name__ == "__main__":
    typer.run(formats)
