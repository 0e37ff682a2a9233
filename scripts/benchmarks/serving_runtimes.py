"""Networks in the runtimes that `benchmark_serving.py` compares."""

from collections.abc import Callable
from pathlib import Path

SIZE = 224
KERAS, PLAIN, SA = "keras.applications.ResNet50", "no attention", "SA"
NETWORKS = {PLAIN: None, SA: "sa"}
PYTORCH = "PyTorch"


def write_networks(folder: Path, formats: list[str]) -> None:
    """Writes what is missing of the networks into a folder.

    The reference is written by Keras itself, as its users do it.
    """
    from keras_sa.scripts.benchmarks.network_costs import build
    from keras_sa.serving import convert
    from keras_sa.serving import export

    if not (folder / KERAS).exists():
        import keras

        network = keras.applications.ResNet50(weights=None)
        network.export(str(folder / KERAS), verbose=False)
    for name, attention in NETWORKS.items():
        files = {kind: folder / f"{name}.{kind}" for kind in formats}
        missing = [kind for kind, file in files.items() if not file.exists()]
        saved_model = folder / name
        if saved_model.exists() and not missing:
            continue
        network = build({"depth": 50, "attention": attention}, (SIZE, SIZE, 3))
        if not saved_model.exists():
            export(network, saved_model)
        for kind in missing:
            convert(network, files[kind], {"onnx": "onnx", "xml": "openvino"}[kind])


def random_images(batch: int):
    import numpy as np

    shape = (batch, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def tensorflow(folder: Path, batch: int) -> dict[str, Callable]:
    import tensorflow as tf

    images = tf.constant(random_images(batch))
    reference = tf.saved_model.load(str(folder / KERAS))
    functions = {KERAS: lambda: reference.serve(images).numpy()}
    for name in NETWORKS:
        model = tf.saved_model.load(str(folder / name / "1"))
        functions[name] = _signature(model, "predict_images", {"images": images})
    return functions


def _signature(model, name, inputs):
    signature = model.signatures[name]

    # The model is held, or its functions would lose their tables.
    def run(model=model):
        return signature(**inputs)["scores"].numpy()

    return run


def onnx_runtime(folder: Path, batch: int) -> dict[str, Callable]:
    from keras_sa.utils.cpu_count import cpu_count
    from keras_sa.utils.extras import require_extra

    runtime = require_extra("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cpu_count()
    images = {"images": random_images(batch)}

    def function(name):
        session = runtime.InferenceSession(
            str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
        )
        return lambda: session.run(None, images)

    return {name: function(name) for name in NETWORKS}


def openvino(folder: Path, batch: int) -> dict[str, Callable]:
    from keras_sa.utils.cpu_count import cpu_count
    from keras_sa.utils.extras import require_extra

    core = require_extra("openvino", "openvino").Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": cpu_count(),
        # Without it newer processors compute in bfloat16.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    images = random_images(batch)

    def function(name):
        network = core.read_model(str(folder / f"{name}.xml"))
        network.reshape(list(images.shape))
        compiled = core.compile_model(network, "CPU", options)
        return lambda: compiled(images)[0]

    return {name: function(name) for name in NETWORKS}


def pytorch(folder: Path, batch: int) -> dict[str, Callable]:
    """The published architecture, not fused; weights from our own networks."""
    from keras_sa.scripts.benchmarks.network_costs import build
    from keras_sa.scripts.benchmarks.torch_reference import torch_reference
    from keras_sa.weights.weight_export import published_state

    images = random_images(batch)

    def function(attention):
        network = build({"depth": 50, "attention": attention}, (SIZE, SIZE, 3))
        run = torch_reference(published_state(network))
        return lambda: run(images)

    return {name: function(attention) for name, attention in NETWORKS.items()}


RUNTIMES = {
    "TensorFlow": (tensorflow, None),
    "ONNX Runtime": (onnx_runtime, "onnx"),
    "OpenVINO": (openvino, "xml"),
    PYTORCH: (pytorch, None),
}


def photos(count: int) -> list[bytes]:
    """JPEG files of 500x375 pixels, from scikit-learn's two photos."""
    import tensorflow as tf

    from keras_sa.utils.extras import require_extra

    datasets = require_extra("sklearn.datasets", "benchmark")
    files = []
    for image in datasets.load_sample_images().images:
        pixels = tf.cast(tf.image.resize(image, (375, 500), antialias=True), tf.uint8)
        files.append(tf.io.encode_jpeg(pixels, quality=90).numpy())
    return [files[index % len(files)] for index in range(count)]


def files_and_images(folder: Path, batch: int) -> dict[str, Callable]:
    """The same network fed with JPEG files and with decoded images."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / SA / "1"))
    files = tf.constant(photos(batch))
    images = tf.constant(random_images(batch))
    return {
        "decoded images": _signature(model, "predict_images", {"images": images}),
        "JPEG files": _signature(model, "predict_bytes", {"image_bytes": files}),
    }
