"""PyTorch's files without PyTorch: the same numbers, and nothing but numbers."""

import pickle
import zipfile

import numpy as np
import pytest
from optional_torch import needs_torch
from optional_torch import torch

from keras_sa.weights import torch_files
from keras_sa.weights import torch_writer

DTYPES = ("float16", "float32", "float64", "bfloat16", "int8", "uint8", "int64", "bool")


def numbers(loaded):
    content, order = loaded
    return {name: value.numpy(order) for name, value in content["state_dict"].items()}


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    return {
        "weight": rng.standard_normal((3, 4, 2)).astype("float32"),
        "transposed": rng.standard_normal((4, 3)).astype("float32").T,
        "empty": np.zeros((0, 5), "float32"),
        "counter": np.array(7),
    }


def test_written_and_read_back(state, tmp_path):
    torch_writer.save(state, tmp_path / "a.pth")
    back = numbers(torch_files.load(tmp_path / "a.pth"))
    assert list(back) == list(state)
    for name, array in state.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@needs_torch
def test_pytorch_reads_what_is_written(state, tmp_path):
    torch_writer.save(state, tmp_path / "a.pth")
    back = torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"]
    for name, array in state.items():
        np.testing.assert_array_equal(back[name].numpy(), array)


@needs_torch
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_views_of_shared_storages_are_what_pytorch_reads(tmp_path, dtype, zipped):
    whole = (10 * torch.randn(6, 8)).to(getattr(torch, dtype))
    tensors = {
        "whole": whole,
        "part": whole[2:5, 1::3],
        "transposed": whole.t(),
        "expanded": whole[0, 0].expand(3, 2),
        "scalar": whole[1, 2],
        "parameter": torch.nn.Parameter(whole[:2].float()),
    }
    path = tmp_path / "a.pth"
    torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=zipped)
    for name, array in numbers(torch_files.load(path)).items():
        expected = tensors[name].detach()
        expected = expected.float() if dtype == "bfloat16" else expected
        np.testing.assert_array_equal(array, expected.numpy(), name)


def pickled(*instructions):
    return b"\x80\x02" + b"".join(instructions) + b"."


def archive(path, program, **parts):
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("archive/data.pkl", program)
        for name, content in parts.items():
            target.writestr(f"archive/data/{name.removeprefix('_')}", content)


def tensor(size=4, stride=1, offset=0, declared=4):
    """A program that makes a tensor of a storage of 16 bytes."""
    program = pickle.dumps(
        [offset, (size,), (stride,), False, None], protocol=2, fix_imports=False
    )
    inner = program[program.index(b"(") + 1 : program.rindex(b"e.")]
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    storage += b"X\x03\x00\x00\x00cpuK" + bytes([declared]) + b"tQ"
    return pickled(b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, inner, b"tR")


def test_the_program_of_these_tests_is_a_good_one(tmp_path):
    values = np.arange(4, dtype="float32")
    archive(tmp_path / "a.pth", tensor(), _0=values.tobytes())
    content, order = torch_files.load(tmp_path / "a.pth")
    np.testing.assert_array_equal(content.numpy(order), values)


@pytest.mark.parametrize(
    "program",
    [
        tensor(size=5),
        tensor(stride=2),
        tensor(offset=1),
        tensor(size=-1),
        tensor(declared=5),
        tensor().replace(b"storagec", b"storehac"),
        tensor().replace(b"ctorch\nFloatStorage\n", b"X\x01\x00\x00\x00a"),
        tensor().replace(b"ctorch\nFloatStorage\n", b"ctorch\nfloat99\n"),
        tensor().replace(b"K\x04tQ", b"J\xff\xff\xff\xfftQ"),
        tensor().replace(b"K\x04tQ", b"G\x40\x10\x00\x00\x00\x00\x00\x00tQ"),
        tensor().replace(b"K\x04tQ", b"K\x04K\x01tQ"),
    ],
    ids=[
        "too long",
        "stride",
        "offset",
        "negative",
        "declared",
        "not a storage",
        "a storage of no type",
        "a storage of another type",
        "less than nothing",
        "a fraction",
        "a view of a view",
    ],
)
def test_damaged_views_and_storages_are_refused(tmp_path, program):
    archive(tmp_path / "a.pth", program, _0=bytes(16))
    with pytest.raises(ValueError, match="damaged"):
        torch_files.load(tmp_path / "a.pth")


PROGRAMS = {
    "os.system": pickled(b"cos\nsystem\n(X\x04\x00\x00\x00truetR"),
    "builtins.eval": pickled(b"cbuiltins\neval\n(X\x01\x00\x00\x001tR"),
    "torch.load": pickled(b"ctorch\nload\n(X\x01\x00\x00\x00atR"),
    "INST": pickled(b"(X\x04\x00\x00\x00trueios\nsystem\n"),
    "OBJ": pickled(b"(cos\nsystem\nX\x04\x00\x00\x00trueo"),
    "EXT1": pickled(b"\x82\x01"),
    "index 2147483647": pickled(b"]r\xff\xff\xff\x7f"),
    "state": tensor()[:-1] + b"}X\x05\x00\x00\x00shape(K\x09tsb.",
    "cut off": pickled(b"X\xff\xff\xff\x7fabc"),
    "damaged": pickled(b"tR"),
}


@pytest.mark.parametrize("found", PROGRAMS)
def test_other_instructions_than_those_of_tensors_are_refused(tmp_path, found):
    archive(tmp_path / "a.pth", PROGRAMS[found], _0=bytes(16))
    name = "" if found in ("state", "cut off", "damaged") else found
    with pytest.raises(ValueError, match=f"damaged or holds Python objects.*{name}"):
        torch_files.load(tmp_path / "a.pth")
    # The same, in front of nothing.
    (tmp_path / "b.pth").write_bytes(PROGRAMS[found])
    with pytest.raises(ValueError, match="damaged or holds Python objects"):
        torch_files.load(tmp_path / "b.pth")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match="is compressed"):
        torch_files.load(tmp_path / "a.pth")


def test_types_that_pytorch_would_refuse_too_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="weight of complex64"):
        torch_writer.save({"weight": np.zeros(1, "complex64")}, tmp_path / "a.pth")
