"""Networks whose weights the tests write and read."""

import keras
import pytest
from tiny_networks import build_tiny
from tiny_networks import randomise


@pytest.fixture(scope="module")
def trained():
    """A tiny SA-ResNet with random weights; not to be changed."""
    keras.utils.set_random_seed(0)
    return randomise(build_tiny())


@pytest.fixture(scope="module")
def plain():
    """A tiny plain ResNet with random weights; not to be changed."""
    keras.utils.set_random_seed(0)
    return randomise(build_tiny(attention=None), seed=1)
