"""The reference in PyTorch computes what the networks here compute."""

import numpy as np
import pytest
from needed import needed
from tiny_networks import build_tiny
from tiny_networks import randomise

from keras_sa.scripts.benchmarks.torch_reference import torch_reference
from keras_sa.weights.weight_export import published_state

needed("torch")


@pytest.mark.parametrize("attention", ["sa", None])
def test_logits_are_ours(attention):
    model = build_tiny(
        attention, blocks=(1, 2, 1, 1), stem="imagenet", input_shape=(64, 64, 3)
    )
    randomise(model)
    images = np.random.default_rng(1).standard_normal((3, 64, 64, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    logits = torch_reference(published_state(model), groups=4)(images)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * expected.std())
