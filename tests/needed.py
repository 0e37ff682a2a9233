"""Packages that some tests need, and what brings them."""

import importlib.util

import pytest

COMMANDS = {
    name: f"pip install 'keras-sa[{extra}]'"
    for extra, names in {
        "demo": ("PIL", "sklearn"),
        "detection": ("pycocotools",),
        "fast-detection": ("faster_coco_eval", "hotcoco"),
        "keras-hub": ("keras_hub",),
        "litert": ("ai_edge_litert",),
        "onnx": ("onnx", "onnxruntime", "tf2onnx"),
        "openvino": ("nncf", "openvino"),
        "serve": ("kserve",),
        "serving": ("grpc", "tensorflow_serving"),
        "tensorboard": ("tensorboard",),
        "test": ("psutil",),
        "tfds": ("tensorflow_datasets",),
        "torch": ("torch",),
        "visualization": ("matplotlib",),
    }.items()
    for name in names
} | {"jax": "pip install jax", "yaml": "pip install pyyaml"}


def _reason(module):
    package = module.split(".")[0]
    return f"needs {package}: {COMMANDS[package]}"


def needed(module: str):
    """The module, or a skip of the test, or of a file's tests, that says what to do."""
    return pytest.importorskip(module, reason=_reason(module), exc_type=ImportError)


def needed_elsewhere(package: str):
    """As `needed`, for a package that another process or function will import."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(_reason(package))
