"""The SavedModel in TensorFlow's C++ loader, which TF Serving uses too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from serving_samples import image_file
from serving_samples import photo

PACKAGE = Path(tf.__file__).parent
SOURCE = Path(__file__).with_name("classify.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs gcc and Linux")
    path = tmp_path_factory.mktemp("c") / "classify"
    subprocess.run(
        [
            compiler,
            str(SOURCE),
            f"-I{PACKAGE / 'include'}",
            f"-L{PACKAGE}",
            f"-Wl,-rpath,{PACKAGE}",
            "-l:libtensorflow_cc.so.2",
            "-l:libtensorflow_framework.so.2",
            "-o",
            str(path),
        ],
        check=True,
    )
    return path


def tensor_names(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((exported / "saved_model.pb").read_bytes())
    signature = proto.meta_graphs[0].signature_def["serving_default"]
    outputs = signature.outputs
    return [
        signature.inputs["image_bytes"].name,
        outputs["probabilities"].name,
        outputs["valid"].name,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("content", ["photo", "garbage"])
def test_a_c_program_classifies_a_jpeg(
    program, exported, signatures, tmp_path, content
):
    data = image_file(photo(), "JPEG") if content == "photo" else b"no image"
    (tmp_path / "image.jpg").write_bytes(data)
    result = subprocess.run(
        [str(program), str(exported), str(tmp_path / "image.jpg")]
        + tensor_names(exported),
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 0, result.stderr
    valid, *probabilities = result.stdout.split()
    expected = signatures["serving_default"](image_bytes=tf.constant([data]))
    assert int(valid) == (content == "photo")
    np.testing.assert_allclose(
        np.array(probabilities, float), expected["probabilities"][0], atol=1e-5
    )
