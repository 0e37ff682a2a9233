"""Fused networks in the file formats of other runtimes."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_sa.serving.formats.calibration import calibration_batches
from keras_sa.serving.formats.constant_function import constant_function
from keras_sa.serving.formats.onnx_writer import OPSET
from keras_sa.serving.formats.onnx_writer import UnsupportedLayerError
from keras_sa.serving.formats.onnx_writer import write_onnx
from keras_sa.serving.fusion.fused_network import fuse
from keras_sa.serving.fusion.precision import with_precision
from keras_sa.utils.extras import require_extra

# A folder beside the file that is written, for what is needed on the way.
INTERMEDIATE = "intermediate"


def convert(
    model: keras.Model,
    path: str | Path,
    format: str,
    precision: str = "float32",
    calibration: Iterable[np.ndarray] | None = None,
    force: bool = False,
) -> Path:
    """Fuses a network and writes it for another runtime.

    Unlike the SavedModel of `keras_sa.serving.export` the file holds the network
    alone: it takes normalised images `(batch, height, width, channels)`.

    | format | file | precisions | extra |
    |---|---|---|---|
    | `keras` | `.keras` | float32, float16, bfloat16 | |
    | `onnx` | `.onnx` | float32, float16, int8 | `onnx` |
    | `openvino` | `.xml` and `.bin` | float32, float16, int8 | `openvino` |
    | `litert` | `.tflite` | float32, float16, int8 | |

    float16 of ONNX, OpenVINO and LiteRT halves the file. int8 is the library's own
    quantisation after training, with ranges measured on the calibration images.

    Args:
        model: A functional model with one input and one output; for `keras` with any.
        path: The file to write.
        format: See the table.
        precision: See the table.
        calibration: For int8: batches of images like those to come, as the network
            takes them. They are all held in memory.
        force: Whether to replace an existing file.

    Returns:
        The path.

    Raises:
        FileExistsError: If the file exists and `force` is false.
        ImportError: If an extra is missing; the message says how to install it.
        ValueError: If the format does not have the precision or an operation of the
            model, or int8 has no calibration images or others than the model takes.
    """
    path = Path(path)
    if format not in WRITERS:
        raise ValueError(
            f"`format` must be one of {list(WRITERS)}. Received: format={format!r}"
        )
    write, suffixes, precisions = WRITERS[format]
    if precision not in precisions:
        raise ValueError(
            f"The format {format!r} has the precisions {precisions}. "
            f"Received: precision={precision!r}"
        )
    if (precision == "int8") != (calibration is not None):
        raise ValueError(
            "`calibration` images belong to int8, and int8 needs them. "
            f"Received: precision={precision!r}, calibration={calibration!r}"
        )
    if path.suffix != suffixes[0]:
        raise ValueError(
            f"`path` must end in {suffixes[0]!r}. Received: path={str(path)!r}"
        )
    ends = [len(getattr(model, end, None) or ()) for end in ("inputs", "outputs")]
    if format != "keras" and ends != [1, 1]:
        raise ValueError(
            "`model` must be a functional model with one input and one output. "
            f"Received: model={model.name!r} with {ends[0]} and {ends[1]}"
        )
    files = [path.with_suffix(suffix) for suffix in suffixes]
    existing = [file for file in files if file.exists()]
    if existing and not force:
        raise FileExistsError(
            f"{existing[0]} exists. Choose another path, or replace it with "
            "`force=True` (`--force`)."
        )
    if calibration is not None:
        calibration = calibration_batches(model, calibration)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        (Path(folder) / INTERMEDIATE).mkdir()
        write(fuse(model), Path(folder) / path.name, precision, calibration)
        # The weights of OpenVINO come first: the file that names them is last.
        for file in reversed(files):
            os.replace(Path(folder) / file.name, file)
    return path


def _write_keras(model, path, precision, calibration):
    if precision != "float32":
        model = with_precision(model, precision)
    model.save(path)


def _write_float32_onnx(model, path):
    onnx = require_extra("onnx", "onnx")
    try:
        write_onnx(model, path)
    except UnsupportedLayerError:
        tf2onnx = require_extra("tf2onnx", "onnx")
        function = constant_function(model)
        tf2onnx.convert.from_function(
            function, function.input_signature, opset=OPSET, output_path=str(path)
        )
        # It leaves operations that it does not know as they are.
        try:
            onnx.checker.check_model(str(path))
        except onnx.checker.ValidationError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"ONNX can't express {model.name!r}: {reason}") from error
    _check_inputs(model, onnx, path)


def _check_inputs(model, onnx, path):
    """Nobody could run a file that wants more than images."""
    found = [
        (
            value.name,
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in onnx.load(path, load_external_data=False).graph.input
    ]
    expected = [("images", np.dtype(model.inputs[0].dtype))]
    if found != expected:
        raise ValueError(
            f"ONNX can't express {model.name!r}: the file would have the inputs "
            f"{found} instead of {expected}."
        )


def _write_onnx(model, path, precision, calibration):
    float32 = path.parent / INTERMEDIATE / "float32.onnx"
    _write_float32_onnx(model, float32)
    if precision == "float32":
        float32.rename(path)
    elif precision == "float16":
        onnx = require_extra("onnx", "onnx")
        float16 = require_extra("onnxruntime.transformers.float16", "onnx")
        half = float16.convert_float_to_float16(onnx.load(float32), keep_io_types=True)
        onnx.save(half, str(path))
    else:
        _quantize_onnx(float32, path, calibration)


def _quantize_onnx(float32, path, calibration):
    quantization = require_extra("onnxruntime.quantization", "onnx")
    shape_inference = require_extra("onnxruntime.quantization.shape_inference", "onnx")

    reader_class: Any = quantization.CalibrationDataReader

    class Reader(reader_class):
        def __init__(self):
            self.batches = iter(calibration)

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    prepared = path.parent / INTERMEDIATE / "prepared.onnx"
    shape_inference.quant_pre_process(str(float32), str(prepared))
    quantization.quantize_static(
        str(prepared),
        str(path),
        Reader(),
        per_channel=True,
        # Only what gains: the gates are cheap and sensitive.
        op_types_to_quantize=["Conv", "Gemm"],
    )


def _write_openvino(model, path, precision, calibration):
    openvino = require_extra("openvino", "openvino")
    source = path.parent / INTERMEDIATE / "source.onnx"
    _write_float32_onnx(model, source)
    network = openvino.convert_model(str(source))
    if precision == "int8":
        nncf = require_extra("nncf", "openvino")
        network = nncf.quantize(
            network, nncf.Dataset(calibration), subset_size=len(calibration)
        )
    openvino.save_model(network, str(path), compress_to_fp16=precision == "float16")


def _write_litert(model, path, precision, calibration):
    import tensorflow as tf

    function = constant_function(model).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: (
            [image[None]] for batch in calibration for image in batch
        )
    path.write_bytes(converter.convert())


WRITERS = {
    "keras": (_write_keras, (".keras",), ("float32", "float16", "bfloat16")),
    "onnx": (_write_onnx, (".onnx",), ("float32", "float16", "int8")),
    "openvino": (_write_openvino, (".xml", ".bin"), ("float32", "float16", "int8")),
    "litert": (_write_litert, (".tflite",), ("float32", "float16", "int8")),
}
