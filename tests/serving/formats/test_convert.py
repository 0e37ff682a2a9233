"""Every format gives the network's numbers in its own runtime."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from needed import needed
from serving_samples import randomize
from serving_samples import small_network

from keras_sa.serving.formats.conversion import convert
from keras_sa.serving.fusion.fused_network import fuse

SUFFIXES = {
    "keras": ".keras",
    "onnx": ".onnx",
    "openvino": ".xml",
    "litert": ".tflite",
}
# Of the logits' standard deviation: float32 as promised; 11 and 8 bits of mantissa
# and of int8 over a dozen layers.
TOLERANCES = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.15, "int8": 0.5}


@pytest.fixture(scope="module")
def logits_model():
    return randomize(small_network(classifier_activation=None))


def images(count=4, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, 32, 32, 3)).astype("float32")


def run_keras(path, x):
    return np.asarray(keras.saving.load_model(path)(x))


def run_onnx(path, x):
    session = needed("onnxruntime").InferenceSession(str(path))
    return session.run(None, {"images": x})[0]


def run_openvino(path, x):
    core = needed("openvino").Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(str(path), "CPU", options)(x)[0]


def run_litert(path, x):
    runtime = needed("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(str(path))
    (inputs,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(inputs["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(inputs["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


RUNTIMES = {
    "keras": run_keras,
    "onnx": run_onnx,
    "openvino": run_openvino,
    "litert": run_litert,
}
REQUIRED = {"onnx": ["onnx", "onnxruntime"], "openvino": ["openvino", "onnx", "nncf"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("format", "precision"),
    [
        ("keras", "float32"),
        ("keras", "float16"),
        ("keras", "bfloat16"),
        ("onnx", "float32"),
        ("onnx", "float16"),
        ("onnx", "int8"),
        ("openvino", "float32"),
        pytest.param("openvino", "float16", marks=pytest.mark.slow),
        pytest.param("openvino", "int8", marks=pytest.mark.slow),
        ("litert", "float32"),
        pytest.param("litert", "float16", marks=pytest.mark.slow),
        pytest.param("litert", "int8", marks=pytest.mark.slow),
    ],
)
def test_the_runtime_gives_the_same(logits_model, tmp_path, format, precision):
    for module in REQUIRED.get(format, []):
        needed(module)
    calibration = [images(seed=n) for n in range(4)] if precision == "int8" else None
    path = tmp_path / f"network{SUFFIXES[format]}"
    assert convert(logits_model, path, format, precision, calibration) == path
    expected = logits_model.predict(images(), verbose=0)
    actual = RUNTIMES[format](path, images())
    tolerance = TOLERANCES[precision] * expected.std()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
    # Nothing temporary remains.
    assert {file.stem for file in tmp_path.iterdir()} == {"network"}


def test_onnx_of_every_kind_of_network(tmp_path):
    needed("onnx")
    for name, options in {
        "maps": {"include_top": False},
        "plain": {"attention": None, "stem": "imagenet", "blocks": (2, 2)},
        "free": {"input_shape": (None, None, 3)},
    }.items():
        model = randomize(small_network(**options))
        path = convert(model, tmp_path / f"{name}.onnx", "onnx")
        expected = model.predict(images(), verbose=0)
        np.testing.assert_allclose(
            run_onnx(path, images()), expected, rtol=0, atol=1e-4 * expected.std()
        )


def test_onnx_stores_every_weight_once(logits_model, tmp_path):
    onnx = needed("onnx")
    network = onnx.load(convert(logits_model, tmp_path / "network.onnx", "onnx"))
    floats = [
        math.prod(tensor.dims)
        for tensor in network.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    ]
    # A convolution that is called on the maps and on their mean counts once.
    assert sum(floats) == fuse(logits_model).count_params()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_unknown_layers_go_through_the_general_converter(tmp_path):
    for module in ("onnx", "onnxruntime", "tf2onnx"):
        needed(module)
    model = small_network()
    x = keras.layers.LayerNormalization()(model.output)
    model = keras.Model(model.input, keras.layers.Dense(3)(x))
    path = convert(model, tmp_path / "network.onnx", "onnx")
    session = needed("onnxruntime").InferenceSession(str(path))
    actual = session.run(None, {session.get_inputs()[0].name: images()})[0]
    np.testing.assert_allclose(actual, model.predict(images(), verbose=0), atol=1e-4)


def small_head(x):
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same")(x)
    return keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))


PIXELS = np.random.default_rng(1).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
STARTS = {
    "constants of a layer": keras.layers.Normalization(
        mean=[90.0, 100.0, 110.0], variance=[50.0, 60.0, 70.0]
    ),
    "caffe's means": keras.applications.vgg16.preprocess_input,
    "means and deviations": keras.applications.densenet.preprocess_input,
    "an array of one's own": lambda x: x - PIXELS[1],
    "augmentation": keras.Sequential(
        [keras.layers.RandomRotation(0.2), keras.layers.RandomContrast(0.5)]
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", ["onnx", "openvino", "litert"])
@pytest.mark.parametrize("start", STARTS)
def test_images_are_the_only_input(tmp_path, start, format):
    """What the graph has from outside is in the file."""
    for module in REQUIRED.get(format, []):
        needed(module)
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, small_head(STARTS[start](inputs)))
    path = convert(model, tmp_path / f"network{SUFFIXES[format]}", format)
    expected = np.asarray(model(PIXELS, training=False))
    actual = RUNTIMES[format](path, PIXELS)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * expected.std())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("format", "precision"),
    [
        ("onnx", "float32"),
        ("onnx", "int8"),
        ("openvino", "float32"),
        pytest.param("openvino", "int8", marks=pytest.mark.slow),
        ("litert", "float32"),
        ("litert", "int8"),
    ],
)
def test_integer_images_stay_integers(tmp_path, format, precision):
    for module in REQUIRED.get(format, []):
        needed(module)
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    model = keras.Model(inputs, small_head(keras.layers.Rescaling(1 / 255)(inputs)))
    pixels = PIXELS.round().astype("uint8")
    calibration = [pixels] if precision == "int8" else None
    path = tmp_path / f"network{SUFFIXES[format]}"
    convert(model, path, format, precision, calibration)
    expected = np.asarray(model(pixels))
    actual = RUNTIMES[format](path, pixels)
    tolerance = TOLERANCES[precision] * expected.std()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


class Scaled(keras.layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.factor = tf.Variable(2.0)

    def call(self, x):
        return x * self.factor


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_variables_beside_keras_are_refused(tmp_path, format):
    needed("onnx")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Scaled()(inputs))
    with pytest.raises(ValueError, match="must be a weight of a Keras layer"):
        convert(model, tmp_path / f"network{SUFFIXES[format]}", format)


@pytest.mark.filterwarnings("ignore")
def test_what_onnx_cannot_express_is_not_written(tmp_path):
    for module in ("onnx", "tf2onnx"):
        needed(module)
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(2, 1, activation="gelu")(images)
    with pytest.raises(ValueError, match="ONNX can't express.*Erfc"):
        convert(keras.Model(images, maps), tmp_path / "network.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        {"format": "coreml"},
        {"precision": "bfloat16"},
        {"precision": "int8"},
        {"calibration": [images()]},
        {"path": "network.txt"},
    ],
)
def test_wrong_arguments_are_refused(logits_model, tmp_path, arguments):
    path = tmp_path / arguments.pop("path", "network.onnx")
    with pytest.raises(ValueError, match="Received"):
        convert(logits_model, path, **{"format": "onnx", **arguments})


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (iter(()), "at least one batch.*Received: none"),
        ([(images(), np.zeros(4))], "without labels.*a tuple of 2"),
        ([{"images": images()}], "without labels.*a dict of 1"),
        ([images()[0]], r"shape \(None, 32, 32, 3\).*\(32, 32, 3\)"),
        ([images()[:, :, :30]], r"\(4, 32, 30, 3\)"),
        ([images(), images(count=0)], r"\(0, 32, 32, 3\)"),
    ],
)
@pytest.mark.parametrize("format", ["onnx", "openvino", "litert"])
def test_other_calibration_than_images_is_refused(
    logits_model, tmp_path, format, calibration, message
):
    path = tmp_path / f"network{SUFFIXES[format]}"
    with pytest.raises(ValueError, match=message):
        convert(logits_model, path, format, "int8", calibration)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "openvino", "litert"])
def test_models_of_several_inputs_or_outputs_are_refused(tmp_path, format):
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    total = keras.layers.Add()(inputs)
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    for model, counts in (
        (keras.Model(inputs, total), "2 and 1"),
        (keras.Model(inputs[0], [inputs[0] * 2, inputs[0] * 3]), "1 and 2"),
        (unbuilt, "0 and 0"),
    ):
        with pytest.raises(ValueError, match=f"one input and one output.*{counts}"):
            convert(model, tmp_path / f"a{SUFFIXES[format]}", format)


@pytest.mark.filterwarnings("ignore")
def test_batches_that_are_given_once_do(tmp_path):
    """The quantiser goes through them more than once."""
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, small_head(inputs))
    kinds = {
        "list": [PIXELS, PIXELS / 2],
        "generator": (batch for batch in (PIXELS, PIXELS / 2)),
    }
    files = [
        convert(model, tmp_path / f"{kind}.tflite", "litert", "int8", batches)
        for kind, batches in kinds.items()
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", ["network[1].v2.onnx", "float32.onnx", "source.xml"])
def test_any_name_is_written_and_nothing_else(logits_model, tmp_path, name):
    format = {".onnx": "onnx", ".xml": "openvino"}[name[name.rindex(".") :]]
    for module in REQUIRED[format]:
        needed(module)
    path = convert(logits_model, tmp_path / name, format)
    expected = {path, path.with_suffix(".bin")} if format == "openvino" else {path}
    assert set(tmp_path.iterdir()) == expected


def test_weights_beside_the_file_are_kept(logits_model, tmp_path):
    (tmp_path / "network.bin").write_text("precious")
    with pytest.raises(FileExistsError, match="network.bin exists"):
        convert(logits_model, tmp_path / "network.xml", "openvino")
    assert (tmp_path / "network.bin").read_text() == "precious"


def test_an_existing_file_is_kept(logits_model, tmp_path):
    path = tmp_path / "network.keras"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="force=True"):
        convert(logits_model, path, "keras")
    assert path.read_text() == "precious"
    assert convert(logits_model, path, "keras", force=True).stat().st_size > 1000
