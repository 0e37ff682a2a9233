"""Weight files of every format: what fits is loaded exactly, what doesn't is named."""

import golden
import h5py
import numpy as np
import pytest
from optional_torch import needs_torch
from optional_torch import torch
from tiny_networks import FORMATS
from tiny_networks import assert_same_state
from tiny_networks import build_tiny
from tiny_networks import randomise
from tiny_networks import state_of

from keras_sa.applications import AttentionResNet
from keras_sa.weights import export_torch
from keras_sa.weights import export_weights
from keras_sa.weights import load_checkpoint
from keras_sa.weights.weight_export import published_state


def golden_network():
    return AttentionResNet(
        blocks=(1, 1, 1, 1),
        bottleneck_width=8,
        classes=10,
        classifier_activation=None,
        input_shape=(64, 64, 3),
    )


@pytest.mark.parametrize(
    "name", ["sa_resnet_tiny.pth.tar", "sa_resnet_tiny_legacy.pth.tar"]
)
def test_authors_files_give_the_stored_logits(name):
    expected = golden.load("sa_resnet_tiny.npz")["logits"]
    images = golden.draw("image").standard_normal((2, 3, 64, 64)).astype("float32")
    model = golden_network()
    report = load_checkpoint(model, golden.checkpoint(name))
    assert report.complete
    assert report.key == "state_dict"
    assert not report.warm_start
    assert len(report.loaded) == len(model.weights)
    logits = model(images.transpose(0, 2, 3, 1), training=False)
    # Both are float32 on a CPU: a few roundings of sums over some thousand terms.
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("end", FORMATS)
def test_written_and_read_back_is_the_same_model(trained, tmp_path, end):
    path = tmp_path / f"weights{end}"
    export_weights(trained, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing is left over"
    model = build_tiny()
    report = load_checkpoint(model, path)
    assert report.complete
    assert_same_state(model, state_of(trained))


def test_a_trained_and_saved_model_loads_without_its_optimizer(trained, tmp_path):
    model = build_tiny(name="other")
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    for path in (tmp_path / "a.keras", tmp_path / "a.weights.h5"):
        export_weights(model, path)
        copy = build_tiny()
        assert load_checkpoint(copy, path).complete
        assert_same_state(copy, state_of(model))


@needs_torch
def test_names_and_shapes_are_the_published_ones(tmp_path):
    published = golden.load("sa_resnet50_state_dict.json")
    if isinstance(published, dict):
        published = published.items()
    expected = {name: tuple(shape) for name, shape in published}
    model = AttentionResNet(50)
    export_torch(model, tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"]
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


@pytest.mark.parametrize("shuffle", [True, False])
def test_there_and_back_is_the_identity(tmp_path, shuffle):
    model = randomise(
        build_tiny(attention_options={"groups": 4, "shuffle": shuffle}), seed=3
    )
    export_torch(model, tmp_path / "a.pth")
    copy = build_tiny(attention_options={"groups": 4, "shuffle": shuffle})
    load_checkpoint(copy, tmp_path / "a.pth")
    assert_same_state(copy, state_of(model))
    first = published_state(model)
    for name, value in published_state(copy).items():
        np.testing.assert_array_equal(value, first[name], name)


def test_the_shuffle_may_be_in_the_weights_or_in_the_layer(trained, tmp_path):
    export_weights(trained, tmp_path / "a.npz")
    model = build_tiny(attention_options={"groups": 4, "pre_shuffled": False})
    load_checkpoint(model, tmp_path / "a.npz")
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    # The same sums in another order.
    np.testing.assert_allclose(
        model(images, training=False),
        trained(images, training=False),
        rtol=1e-4,
        atol=1e-5,
    )


@needs_torch
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.backbone."])
@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_ema"])
def test_wrapping_and_prefixes_are_found(trained, tmp_path, prefix, key):
    state = {
        prefix + name: torch.from_numpy(np.ascontiguousarray(value))
        for name, value in published_state(trained).items()
    }
    state[f"{prefix}bn1.num_batches_tracked"] = torch.tensor(7)
    content = state if key is None else {"epoch": 3, key: state, "optimizer": {}}
    torch.save(content, tmp_path / "a.pth")
    model = build_tiny()
    report = load_checkpoint(model, tmp_path / "a.pth")
    assert (report.complete, report.key) == (True, key)
    assert_same_state(model, state_of(trained))


@needs_torch
def test_the_averaged_model_can_be_asked_for(trained, tmp_path):
    state = {k: torch.tensor(v) for k, v in published_state(trained).items()}
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    averaged = {f"module.{name}": value for name, value in state.items()}
    averaged["n_averaged"] = torch.tensor(2)
    torch.save({"model": zeros, "model_ema": averaged}, tmp_path / "a.pth")
    model = build_tiny()
    with pytest.warns(UserWarning, match="'model' is taken. `key='model_ema'`"):
        assert load_checkpoint(model, tmp_path / "a.pth").key == "model"
    assert not np.any(model.get_layer("predictions").kernel)
    assert load_checkpoint(model, tmp_path / "a.pth", key="model_ema").complete
    assert_same_state(model, state_of(trained))
    with pytest.raises(ValueError, match="no dictionary 'ema'"):
        load_checkpoint(model, tmp_path / "a.pth", key="ema")


@needs_torch
def test_two_networks_in_a_file_are_ambiguous(trained, tmp_path):
    state = {k: torch.tensor(v) for k, v in published_state(trained).items()}
    both = {f"{net}.{name}": state[name] for net in ("q", "k") for name in state}
    torch.save(both, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"several networks.*'q\.', 'k\.'"):
        load_checkpoint(build_tiny(), tmp_path / "a.pth")


@needs_torch
@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_float_types_are_converted(trained, tmp_path, dtype):
    state = published_state(trained)
    tensors = {k: torch.tensor(v).to(getattr(torch, dtype)) for k, v in state.items()}
    torch.save(tensors, tmp_path / "a.pth")
    model = build_tiny()
    assert load_checkpoint(model, tmp_path / "a.pth").complete
    for name, value in published_state(model).items():
        np.testing.assert_array_equal(value, tensors[name].float().numpy(), name)


@needs_torch
def test_safetensors_of_half_precision_are_converted(trained, tmp_path):
    from safetensors.torch import save_file

    state = {
        name: torch.tensor(value).to(torch.bfloat16).contiguous()
        for name, value in published_state(trained).items()
    }
    save_file(state, tmp_path / "a.safetensors")
    model = build_tiny()
    assert load_checkpoint(model, tmp_path / "a.safetensors").complete
    for name, value in published_state(model).items():
        np.testing.assert_array_equal(value, state[name].float().numpy(), name)


def test_one_error_names_everything_that_is_left_over(trained, tmp_path):
    state = published_state(trained)
    del state["bn1.weight"]
    state["extra.weight"] = np.zeros(3, "float32")
    state["conv1.weight"] = np.zeros((16, 3, 7, 7), "float32")
    np.savez(tmp_path / "a.npz", **state)
    model = build_tiny()
    before = state_of(model)
    with pytest.raises(ValueError) as error:
        load_checkpoint(model, tmp_path / "a.npz")
    message = str(error.value)
    assert "1 in the file and not used: extra.weight" in message
    assert "1 in the model and not set: conv1_bn/gamma" in message
    assert "conv1.weight has the shape (16, 3, 7, 7), not (16, 3, 3, 3)" in message
    assert_same_state(model, before)

    report = load_checkpoint(model, tmp_path / "a.npz", strict=False)
    assert report.unused == ("extra.weight",)
    assert report.missing == ("conv1_bn/gamma",)
    assert list(report.unfit) == ["conv1.weight"]
    assert not report.complete
    changed = [
        variable.path
        for variable, value in zip(model.weights, before, strict=True)
        if not np.array_equal(variable.numpy(), value)
    ]
    assert len(changed) == len(report.loaded) == len(model.weights) - 2


@pytest.mark.parametrize("end", [".npz", ".weights.h5"])
def test_the_head_is_left_alone_only_when_asked(trained, tmp_path, end):
    path = tmp_path / f"a{end}"
    export_weights(trained, path)
    model = build_tiny(classes=3)
    head = [v.numpy() for v in model.get_layer("predictions").weights]
    with pytest.raises(ValueError, match="skip_head=True"):
        load_checkpoint(model, path)
    report = load_checkpoint(model, path, skip_head=True)
    assert report.complete
    assert len(report.skipped) == 2
    for variable, value in zip(
        model.get_layer("predictions").weights, head, strict=True
    ):
        np.testing.assert_array_equal(variable, value)
    assert_same_state(model, state_of(trained)[:-2] + head)


def test_the_head_of_equal_size_is_left_alone_when_asked(trained, tmp_path):
    export_weights(trained, tmp_path / "a.npz")
    model = build_tiny()
    head = model.get_layer("predictions").kernel.numpy()
    load_checkpoint(model, tmp_path / "a.npz", skip_head=True)
    np.testing.assert_array_equal(model.get_layer("predictions").kernel, head)


def test_a_model_without_its_top_takes_a_whole_file(trained, tmp_path):
    export_weights(trained, tmp_path / "a.npz")
    model = build_tiny(include_top=False)
    with pytest.raises(ValueError, match="fc.weight"):
        load_checkpoint(model, tmp_path / "a.npz")
    assert load_checkpoint(model, tmp_path / "a.npz", skip_head=True).complete


def test_a_keras_file_with_other_attention_options_is_refused(tmp_path):
    other = build_tiny(attention_options={"groups": 4, "shuffle": False})
    other.save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"'shuffle': \(False, True\)"):
        load_checkpoint(build_tiny(), tmp_path / "a.keras")


def test_attention_weights_do_not_fit_a_plain_network(trained, tmp_path):
    export_weights(trained, tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"12 in the file and not used: layer1\.0\.sa"):
        load_checkpoint(build_tiny(attention=None), tmp_path / "a.npz")


def test_any_functional_model_can_be_read_from_keras_files(tmp_path):
    import keras

    def build():
        inner = build_tiny(include_top=False, pooling="avg")
        return keras.Sequential(
            [inner, keras.layers.Dense(4, name="hidden"), keras.layers.Dense(2)],
            name="outer",
        )

    model = build()
    model.build((None, 32, 32, 3))
    randomise(model)
    model.save_weights(tmp_path / "a.weights.h5")
    keras.utils.clear_session()
    copy = build()
    copy.build((None, 32, 32, 3))
    assert load_checkpoint(copy, tmp_path / "a.weights.h5").complete
    assert_same_state(copy, state_of(model))


def test_an_unknown_ending_or_missing_file_is_said(tmp_path):
    (tmp_path / "a.weights").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must end in one of .*\.safetensors"):
        load_checkpoint(build_tiny(), tmp_path / "a.weights")
    with pytest.raises(FileNotFoundError, match="no weight file"):
        load_checkpoint(build_tiny(), tmp_path / "a.pth")


@pytest.mark.parametrize("end", [".ckpt", ".bin"])
def test_the_same_file_under_other_usual_names(trained, tmp_path, end):
    export_torch(trained, tmp_path / "a.pth")
    (tmp_path / "a.pth").rename(tmp_path / f"a{end}")
    model = build_tiny()
    assert load_checkpoint(model, tmp_path / f"a{end}").complete
    assert_same_state(model, state_of(trained))


def test_failed_writing_leaves_the_old_file(trained, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk is full"):
        export_weights(trained, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_file_is_closed_after_loading(trained, tmp_path):
    export_weights(trained, tmp_path / "a.weights.h5")
    load_checkpoint(build_tiny(), tmp_path / "a.weights.h5")
    # An open file could not be opened for writing.
    with h5py.File(tmp_path / "a.weights.h5", "a"):
        pass
