"""Damaged and hostile files: a clear error, nothing run, the model as it was."""

import json
import os
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest
from optional_torch import needs_torch
from optional_torch import torch
from tiny_networks import FORMATS
from tiny_networks import assert_same_state
from tiny_networks import build_tiny
from tiny_networks import state_of

from keras_sa.weights import export_weights
from keras_sa.weights import keras_files
from keras_sa.weights import load_checkpoint
from keras_sa.weights.weight_export import published_state


class RunsCode:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def refused():
    """Asserts that a file is refused and the model unchanged."""

    def check(path, message):
        model = build_tiny()
        before = state_of(model)
        with pytest.raises(ValueError, match=message) as error:
            load_checkpoint(model, path)
        assert path.name in str(error.value)
        assert_same_state(model, before)

    return check


@pytest.fixture
def state(trained):
    return published_state(trained)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_a_pickle_that_would_run_code(tmp_path, refused, how):
    marker = tmp_path / "marker"
    path = tmp_path / "a.pth"
    content = {"state_dict": RunsCode(marker)}
    if how != "pickle" and torch is None:
        pytest.skip("needs PyTorch: pip install 'keras-sa[torch]'")
    if how == "pickle":
        # Protocol 2 is the one that PyTorch reads without a warning.
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    refused(path, "damaged or holds Python objects, which can run code")
    assert not marker.exists()
    # The file is as dangerous as it claims to be.
    if how == "pickle":
        pickle.loads(path.read_bytes())
        assert marker.exists()


@needs_torch
def test_a_whole_pickled_network(tmp_path, refused):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "Python objects, which can run code: torch.nn")


@pytest.mark.parametrize(
    "end", [*FORMATS, pytest.param(".legacy.pth", marks=needs_torch)]
)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file(trained, state, tmp_path, refused, end, kept):
    path = tmp_path / f"a{end}"
    if end == ".legacy.pth":
        tensors = {name: torch.tensor(value) for name, value in state.items()}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        export_weights(trained, path)
    os.truncate(path, int(kept * path.stat().st_size))
    refused(path, "can't be read|does not fit")


@pytest.mark.parametrize("end", [".pth", ".npz", ".keras"])
def test_a_flipped_byte_in_formats_with_checksums(trained, tmp_path, refused, end):
    path = tmp_path / f"a{end}"
    export_weights(trained, path)
    content = bytearray(path.read_bytes())
    # Inside the largest weight, whatever the format.
    weight = np.ascontiguousarray(trained.get_layer("conv3_block1_2_conv").kernel)
    if end != ".keras":
        weight = np.ascontiguousarray(weight.transpose(3, 2, 0, 1))
    place = content.index(weight.tobytes()[4000:4100])
    content[place] ^= 1
    path.write_bytes(content)
    refused(path, "checksum|CRC")


def test_a_web_page_instead_of_a_file(tmp_path, refused):
    for end in FORMATS:
        path = tmp_path / f"a{end}"
        path.write_text("<html>404</html>")
        refused(path, "can't be read")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("end", FORMATS)
def test_weights_that_are_not_finite(tmp_path, refused, end, value):
    model = build_tiny()
    # The last one: everything else would have been loaded by then.
    model.weights[-1].assign(np.full(10, value))
    export_weights(model, tmp_path / f"a{end}")
    refused(tmp_path / f"a{end}", "not finite")


def test_a_float64_beyond_float32(state, tmp_path, refused):
    state["fc.bias"] = np.full(10, 1e300)
    np.savez(tmp_path / "a.npz", **state)
    refused(tmp_path / "a.npz", "fc.bias has values that are not finite")


@pytest.mark.parametrize("dtype", ["int64", "complex64", "bool", "<U4", object])
def test_wrong_types_in_npz(state, tmp_path, refused, dtype):
    state["fc.bias"] = np.zeros(10, dtype)
    np.savez(tmp_path / "a.npz", **state)
    refused(tmp_path / "a.npz", "fc.bias has the dtype .*, not float32")


def test_objects_in_npz_are_not_unpickled(state, tmp_path, refused):
    marker = tmp_path / "marker"
    state["fc.bias"] = np.array([RunsCode(marker)] * 10, object)
    np.savez(tmp_path / "a.npz", **state)
    refused(tmp_path / "a.npz", "dtype object")
    assert not marker.exists()


@needs_torch
@pytest.mark.parametrize("dtype", ["int64", "complex64", "float8_e4m3fn"])
def test_wrong_types_in_torch_files(state, tmp_path, refused, dtype):
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    tensors["fc.bias"] = torch.zeros(10).to(getattr(torch, dtype))
    torch.save(tensors, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "fc.bias has the dtype")


@needs_torch
def test_gigantic_shapes_are_never_made(state, tmp_path, refused):
    huge = 10**7
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    # One stored number, seen as 10^14.
    tensors["fc.bias"] = torch.zeros(1).expand(huge, huge)
    torch.save(tensors, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"fc.bias has the shape \(10000000, 10000000\)")

    export_weights(build_tiny(), tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5", "a") as file:
        del file["layers/dense/vars/1"]
        file["layers/dense/vars"].create_dataset(
            "1", shape=(huge, huge), chunks=(1000, 1000), dtype="f4"
        )
    refused(tmp_path / "a.weights.h5", r"has the shape \(10000000, 10000000\)")

    np.savez(tmp_path / "a.npz", **state)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as target:
        with zipfile.ZipFile(tmp_path / "a.npz") as source:
            for name in source.namelist():
                content = source.read(name)
                if name == "fc.bias.npy":
                    content = content.replace(b"(10,)", b"(10000000000000,)")
                    content = content.replace(b" " * 14 + b"\n", b" \n", 1)
                target.writestr(name, content)
    refused(tmp_path / "b.npz", r"has the shape \(10000000000000,\)|can't be read")

    header = json.dumps(
        {
            name: {"dtype": "F32", "shape": list(value.shape), "data_offsets": [0, 0]}
            for name, value in state.items()
        }
        | {"fc.bias": {"dtype": "F32", "shape": [huge, huge], "data_offsets": [0, 4]}}
    ).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"0000")
    refused(path, "can't be read")
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    refused(path, "can't be read")


@pytest.mark.parametrize("where", ["layer", "nested"])
def test_a_keras_file_with_python_code(tmp_path, refused, where):
    marker = tmp_path / "marker"

    def harmful(x):
        marker.touch()
        return x

    last = keras.layers.Lambda(harmful, output_shape=(2,), name="code")
    if where == "nested":
        last = keras.Sequential([keras.Input((2,)), last])
    model = keras.Sequential([keras.Input((2,)), last])
    model.save(tmp_path / "a.keras")
    marker.unlink(missing_ok=True)
    refused(tmp_path / "a.keras", "holds Python code")
    assert not marker.exists()


def test_the_configuration_of_a_keras_file_is_never_made_a_model(
    trained, tmp_path, monkeypatch
):
    export_weights(trained, tmp_path / "a.keras")
    model = build_tiny()

    def fail(*args, **kwargs):
        raise AssertionError("something was deserialised")

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", fail)
    monkeypatch.setattr(keras.saving, "load_model", fail)
    monkeypatch.setattr(keras.Model, "from_config", fail)
    monkeypatch.setattr(keras.layers.Layer, "from_config", fail)
    assert load_checkpoint(model, tmp_path / "a.keras").complete


def test_a_keras_file_that_unpacks_to_much_more(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(keras_files, "EXPANSION_FLOOR", 2**20)
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**22))
    refused(tmp_path / "a.keras", "says that it has 4194304")


@pytest.mark.parametrize("kind", ["external", "soft", "data", "virtual"])
def test_an_hdf5_file_that_points_elsewhere(trained, tmp_path, refused, kind):
    path = tmp_path / "a.weights.h5"
    export_weights(trained, path)
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros(10, "f4")
    raw = tmp_path / "secret.bin"
    raw.write_bytes(bytes(40))
    with h5py.File(path, "a") as file:
        place = file["layers/dense/vars"]
        del place["1"]
        if kind == "external":
            place["1"] = h5py.ExternalLink(str(secret), "/x")
        elif kind == "soft":
            place["1"] = h5py.SoftLink("/layers/conv2d/vars/0")
        elif kind == "data":
            place.create_dataset("1", (10,), "f4", external=[(str(raw), 0, 40)])
        else:
            layout = h5py.VirtualLayout((10,), "f4")
            layout[:] = h5py.VirtualSource(str(secret), "x", (10,))
            place.create_virtual_dataset("1", layout)
    refused(path, "somewhere else|in another file")


def test_an_hdf5_file_that_contains_itself(trained, tmp_path, refused):
    path = tmp_path / "a.weights.h5"
    export_weights(trained, path)
    with h5py.File(path, "a") as file:
        file["layers/dense/again"] = file["layers"]
    refused(path, "in the file twice or in itself")
