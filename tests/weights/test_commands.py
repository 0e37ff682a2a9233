"""`keras-sa convert` and `keras-sa weights`."""

import numpy as np
import pytest
from command_line import run
from tiny_networks import FORMATS
from tiny_networks import assert_same_state
from tiny_networks import build_tiny
from tiny_networks import randomise
from tiny_networks import state_of

from keras_sa.applications import AttentionResNet
from keras_sa.applications import SAResNet50
from keras_sa.weights import export_weights
from keras_sa.weights import load_checkpoint
from keras_sa.weights.architecture import read_architecture
from keras_sa.weights.download import cache_directory
from keras_sa.weights.registry import WEIGHTS


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"groups": 8},
        {"attention": None},
        {"include_top": False},
        {"blocks": (2, 1, 3)},
        {"bottleneck_width": 32},
        {"stem": "imagenet"},
        {"input_shape": (32, 32, 1)},
        {"classes": 7},
    ],
)
def test_a_file_says_which_network_it_is_for(tmp_path, arguments):
    model = build_tiny(**arguments)
    for end in (".npz", ".weights.h5"):
        export_weights(model, tmp_path / f"a{end}")
        found = read_architecture(tmp_path / f"a{end}")
        channels = found.pop("channels")
        groups = found.pop("groups", None)
        copy = AttentionResNet(
            **found,
            input_shape=(32, 32, channels),
            attention_options={"groups": groups} if groups else None,
        )
        assert load_checkpoint(copy, tmp_path / f"a{end}").complete


@pytest.mark.parametrize("source", FORMATS)
def test_any_format_to_any_other(trained, tmp_path, source):
    export_weights(trained, tmp_path / f"a{source}")
    for target in FORMATS:
        result = run("convert", tmp_path / f"a{source}", tmp_path / f"b{target}")
        assert "weights loaded" in result.output
        model = build_tiny()
        assert load_checkpoint(model, tmp_path / f"b{target}").complete
        assert_same_state(model, state_of(trained))


def test_attention_can_be_added_to_a_plain_network(plain, tmp_path):
    export_weights(plain, tmp_path / "a.npz")
    result = run(
        "convert",
        tmp_path / "a.npz",
        tmp_path / "b.npz",
        "--add-attention",
        "--groups",
        4,
    )
    assert "a warm start from a plain ResNet" in result.output
    model = build_tiny()
    assert not load_checkpoint(model, tmp_path / "b.npz").warm_start
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    expected = plain(images)
    np.testing.assert_allclose(
        model(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_whether_it_shuffles_is_read_from_a_keras_file(tmp_path):
    options = {"groups": 4, "shuffle": False}
    source = randomise(build_tiny(attention_options=options))
    export_weights(source, tmp_path / "a.keras")
    run("convert", tmp_path / "a.keras", tmp_path / "b.npz")
    model = build_tiny(attention_options=options)
    load_checkpoint(model, tmp_path / "b.npz")
    assert_same_state(model, state_of(source))


@pytest.mark.slow
def test_install_makes_sa_imagenet_work(tmp_path):
    arguments = {"input_shape": (32, 32, 3)}
    source = randomise(SAResNet50(weights=None, **arguments))
    export_weights(source, tmp_path / "sa_resnet50.pth.tar")
    run("convert", tmp_path / "sa_resnet50.pth.tar", "--install")
    model = SAResNet50(weights="sa_imagenet", **arguments)
    assert_same_state(model, state_of(source))

    assert "sa_resnet50: intact" in run("weights", "verify").output
    (path,) = cache_directory().glob("*.npz")
    path.write_bytes(b"changed")
    output = run("weights", "verify", "sa_resnet50", code=1).output
    assert "sa_resnet50: DAMAGED" in output


@pytest.mark.parametrize("arguments", [["a.npz"], ["a.npz", "b.npz", "--install"]])
def test_either_a_target_or_install(arguments):
    result = run("convert", *arguments, code=2)
    assert "either TARGET or --install" in result.output


def test_errors_are_one_line_and_no_traceback(trained, tmp_path):
    missing = run("convert", tmp_path / "missing.pth", tmp_path / "b.npz", code=1)
    (tmp_path / "a.npz").write_bytes(b"no archive")
    damaged = run("convert", tmp_path / "a.npz", tmp_path / "b.npz", code=1)
    np.savez(tmp_path / "c.npz", x=np.zeros(3))
    other = run("convert", tmp_path / "c.npz", tmp_path / "b.npz", code=1)
    export_weights(trained, tmp_path / "d.npz")
    ending = run("convert", tmp_path / "d.npz", tmp_path / "b.ckpt", code=1)
    small = run("convert", tmp_path / "d.npz", "--install", code=1)
    pair = (tmp_path / "d.npz", tmp_path / "b.npz")
    unused = run("convert", *pair, "--groups", 4, code=1)
    added = run("convert", *pair, "--add-attention", code=1)
    for result, message in (
        (missing, "There is no weight file"),
        (damaged, "can't be read"),
        (other, "not the weights of a ResNet"),
        (ending, "must end in one of"),
        (unused, "--groups would do nothing here: for `--add-attention` alone"),
        (added, "for plain ResNets. Received: "),
        (small, "Only the published networks can be installed"),
    ):
        assert result.output.startswith("Error: ")
        assert message in result.output
    assert not (tmp_path / "b.npz").exists()


def test_the_list_shows_every_entry_with_address_and_license():
    output = run("weights", "list").output
    for name, entry in WEIGHTS.items():
        assert name in output
        assert f"{entry.top1:.3f}" in output
        assert entry.license in output
        assert entry.url is None or entry.url in output


def test_nothing_is_verified_in_an_empty_cache():
    assert "No weights in" in run("weights", "verify").output
    assert "not here" in run("weights", "verify", "timm_resnet50_a1", code=1).output


def test_unknown_names_and_no_names():
    assert "resnet9000" in run("weights", "fetch", "resnet9000", code=2).output
    run("weights", "fetch", code=2)


def test_fetching_what_can_not_be_fetched():
    result = run("weights", "fetch", "sa_resnet101", code=1)
    assert "convert FILE --install" in result.output
