"""Variants of shuffle attention that leave a part out."""

import keras
import numpy as np
import pytest

from keras_sa.layers import ShuffleAttention
from keras_sa.study import ABLATIONS
from keras_sa.study import MODULES
from keras_sa.study import AblatedShuffleAttention
from keras_sa.study import get_arm

X = np.random.default_rng(0).standard_normal((2, 5, 6, 16)).astype("float32")


def randomized(layer):
    layer(X)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    return layer


def branches(groups=2, channels=16):
    """Whether a channel is in the spatial branch."""
    size = channels // (2 * groups)
    return np.arange(channels) // size % 2 == 1


@pytest.mark.parametrize("part", ["channel_branch", "spatial_branch"])
def test_the_missing_branch_passes_and_the_other_one_is_unchanged(part):
    whole = np.asarray(randomized(ShuffleAttention(groups=2, shuffle=False))(X))
    layer = AblatedShuffleAttention(part, groups=2, shuffle=False)
    found = np.asarray(randomized(layer)(X))
    missing = branches() == (part == "spatial_branch")
    # 1 - sigmoid(30) is 1e-13.
    np.testing.assert_array_equal(found[..., missing], X[..., missing])
    np.testing.assert_array_equal(found[..., ~missing], whole[..., ~missing])


def test_without_norm_the_map_itself_makes_the_gate():
    layer = randomized(AblatedShuffleAttention("norm", groups=2, shuffle=False))
    _, _, weight, bias, gamma, beta = (np.tile(w, 2) for w in layer.get_weights())
    x = X[..., branches()].astype("float64")
    expected = x / (1 + np.exp(-(weight * (gamma * x + beta) + bias)))
    # float32 against float64.
    np.testing.assert_allclose(
        np.asarray(layer(X))[..., branches()], expected, atol=1e-6
    )


@pytest.mark.parametrize("part", AblatedShuffleAttention.PARTS)
def test_shuffled_before_or_after_is_the_same(part):
    after = randomized(AblatedShuffleAttention(part, groups=2))
    before = randomized(AblatedShuffleAttention(part, groups=2, pre_shuffled=True))
    shuffled = X.reshape(2, 5, 6, 2, 8).swapaxes(3, 4).reshape(X.shape)
    # The same sums; the compiler may round them differently.
    np.testing.assert_allclose(after(X), before(shuffled), atol=1e-6)


def test_it_is_saved_and_loaded(tmp_path):
    images = keras.Input((5, 6, 16))
    outputs = randomized(AblatedShuffleAttention("norm", groups=2))(images)
    model = keras.Model(images, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))


def test_unknown_parts_and_arms_are_refused():
    with pytest.raises(ValueError, match="must be one of .*norm"):
        AblatedShuffleAttention("gamma")
    with pytest.raises(ValueError, match="An arm must be one of .*'sge'"):
        get_arm("simam", 8)


def test_groups_go_to_those_that_have_them():
    for name in {**MODULES, **ABLATIONS}:
        options = get_arm(name, 8).options
        has_groups = name.startswith("sa") or name == "sge"
        expected = int(name.split("_")[-1]) if "groups" in name else 8
        assert options.get("groups") == (expected if has_groups else None)
