"""A small exported model for all tests of this folder."""

import pytest
from serving_samples import LABELS
from serving_samples import randomize
from serving_samples import small_network

from keras_sa.serving import export


@pytest.fixture(scope="session")
def model():
    return randomize(small_network())


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    """The path of an exported version."""
    return export(model, tmp_path_factory.mktemp("served"), labels=LABELS)


@pytest.fixture(scope="session")
def signatures(exported):
    import tensorflow as tf

    return tf.saved_model.load(str(exported)).signatures
