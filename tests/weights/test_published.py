"""The registry, what the builders make of `weights`, and installed weights."""

import dataclasses
import inspect
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer

import keras
import numpy as np
import pytest
from tiny_networks import assert_same_state
from tiny_networks import build_tiny
from tiny_networks import randomise
from tiny_networks import state_of

from keras_sa.applications import AttentionResNet
from keras_sa.applications import SAResNet50
from keras_sa.applications import SAResNet101
from keras_sa.applications import SAResNet152
from keras_sa.applications import sa_resnet
from keras_sa.layers import AttentionLayer
from keras_sa.layers import register_attention
from keras_sa.layers.registry import ATTENTIONS
from keras_sa.weights import WEIGHTS
from keras_sa.weights import download
from keras_sa.weights import export_weights
from keras_sa.weights import install_weights
from keras_sa.weights.download import file_digest
from keras_sa.weights.registry import ALIASES
from keras_sa.weights.registry import find_weights
from keras_sa.weights.weight_files import READERS

SMALL = {"input_shape": (32, 32, 3), "classifier_activation": None}


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    """A cache of the test's own, and no server anywhere."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv(download.MIRROR_VARIABLE, "http://127.0.0.1:1")
    monkeypatch.setattr(download, "PAUSE", 0.0)


@pytest.mark.parametrize("name", WEIGHTS)
def test_an_entry_is_complete(name):
    entry = WEIGHTS[name]
    assert f"resnet{entry.depth}" in name
    assert any(entry.file.endswith(end) for end in READERS)
    assert 70 < entry.top1 < 85
    assert entry.top5 is None or entry.top1 < entry.top5 < 100
    assert entry.license
    assert entry.reported_by in ("torchvision", "timm", "authors")
    if entry.kind == "sa":
        assert (entry.url, entry.sha256) == (None, None)
    else:
        assert entry.url.startswith("https://")
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", entry.sha256)
        # PyTorch's file names end in the beginning of the hash.
        assert not entry.url.endswith(".pth") or f"-{entry.sha256}.pth" in entry.url
    images = entry.preprocessing
    assert images.crop <= images.resize
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 2, 3))
    np.testing.assert_allclose(
        sa_resnet.preprocess_input(pixels),
        (pixels / 255 - images.mean) / images.std,
        rtol=1e-6,
        err_msg="preprocess_input would not fit these weights",
    )


def test_files_have_names_of_their_own():
    files = [entry.file for entry in WEIGHTS.values()]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_the_most_accurate_of_its_kind(alias):
    for depth in ALIASES[alias]:
        best = find_weights(alias, depth)
        for entry in WEIGHTS.values():
            if (entry.depth, entry.kind) == (depth, best.kind):
                assert entry.top1 <= best.top1


@pytest.mark.parametrize("builder", [SAResNet50, SAResNet101, SAResNet152])
def test_the_default_is_imagenet(builder):
    assert inspect.signature(builder).parameters["weights"].default == "imagenet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 10}, "include_top=False` and add a layer of your own"),
        ({"input_shape": (32, 32, 1)}, "For others use `weights=None`.*1 channels"),
        ({"classifier_activation": "sigmoid"}, '"softmax"` or None'),
        ({"weights": "imagnet"}, "'imagenet', 'sa_imagenet', 'torchvision_resnet50"),
        ({"weights": "no/such.pth"}, "the path of an existing file"),
        ({"weights": "timm_resnet101_a1h"}, "no weights .* of depth 50"),
        ({"weights": "sa_imagenet", "groups": 32}, "64 groups and the shuffle"),
        ({"weights": "sa_imagenet", "shuffle": False}, "64 groups and the shuffle"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        SAResNet50(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"blocks": (1, 1, 1, 1)},
        {"width": 32},
        {"bottleneck_width": 8},
        {"stem": "small"},
    ],
)
def test_published_weights_are_not_for_other_networks(arguments):
    with pytest.raises(ValueError, match="are for the published networks"):
        AttentionResNet(weights="imagenet", **arguments)


def test_there_is_no_sa_resnet152_of_the_authors():
    with pytest.raises(ValueError, match="no weights 'sa_imagenet'.*depth 152"):
        SAResNet152(weights="sa_imagenet")


def test_without_a_network_the_ways_out_are_named():
    with pytest.raises(ConnectionError, match="Three ways out"):
        SAResNet50()


def test_an_unsuited_attention_is_refused_before_the_download():
    class Relu(AttentionLayer):
        def call(self, inputs):
            return keras.ops.relu(inputs)

    register_attention("relu_for_test", Relu)
    try:
        with pytest.raises(ValueError, match="changes its input"):
            AttentionResNet(50, "relu_for_test", weights="imagenet")
    finally:
        del ATTENTIONS["relu_for_test"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Nothing on the terminal."""


@pytest.fixture
def published(tmp_path, monkeypatch):
    """`"imagenet"` for depth 50: a random ResNet-50 on a local server."""
    source = randomise(AttentionResNet(50, None, **SMALL))
    folder = tmp_path / "served"
    export_weights(source, folder / "weights.npz")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.delenv(download.MIRROR_VARIABLE)
    name = ALIASES["imagenet"][50]
    entry = dataclasses.replace(
        WEIGHTS[name],
        file="weights.npz",
        url=f"http://127.0.0.1:{server.server_port}/weights.npz",
        sha256=file_digest(folder / "weights.npz"),
    )
    monkeypatch.setitem(WEIGHTS, name, entry)
    yield source
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_default_start_is_the_downloaded_resnet(published):
    model = SAResNet50(**SMALL)
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    expected = published(images)
    np.testing.assert_allclose(
        model(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    backbone = SAResNet50(include_top=False, input_shape=(32, 32, 3))
    head = published.get_layer("conv5_block3_out").output
    expected = keras.Model(published.input, head)(images)
    np.testing.assert_allclose(
        backbone(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    plain = AttentionResNet(50, None, weights="imagenet", **SMALL)
    assert_same_state(plain, state_of(published))


def test_the_path_of_a_file(tmp_path):
    model = randomise(build_tiny())
    model.save_weights(tmp_path / "a.weights.h5")
    arguments = {
        "blocks": (1, 1),
        "width": 16,
        "attention_options": {"groups": 4},
        "stem": "small",
        "input_shape": (32, 32, 3),
        "weights": tmp_path / "a.weights.h5",
    }
    copy = AttentionResNet(classes=10, **arguments)
    assert_same_state(copy, state_of(model))
    backbone = AttentionResNet(include_top=False, **arguments)
    assert_same_state(backbone, state_of(model)[:-2])
    with pytest.raises(ValueError, match="does not fit"):
        AttentionResNet(classes=11, **arguments)


@pytest.mark.slow
def test_the_authors_weights_can_be_installed():
    with pytest.raises(FileNotFoundError, match="keras-sa convert FILE --install"):
        SAResNet50(weights="sa_imagenet", **SMALL)
    source = randomise(SAResNet50(weights=None, **SMALL))
    path = install_weights(source)
    assert_same_state(SAResNet50(weights="sa_imagenet", **SMALL), state_of(source))
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileNotFoundError, match="not have the SHA-256"):
        SAResNet50(weights="sa_imagenet", **SMALL)


def test_only_published_networks_can_be_installed(trained):
    with pytest.raises(ValueError, match="2 blocks with shuffle attention and 10"):
        install_weights(trained)
