"""Models with a loss of their own train on many devices as on one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.training import fit
from keras_sa.training import make_strategy
from keras_sa.training import prepare


class Regressor(keras.Model):
    """Its loss is a sum over all samples by the number of all samples."""

    loss_is_of_replica = True

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization()
        self.dense = keras.layers.Dense(1)
        self.built = True
        self.norm.build((None, 3))
        self.dense.build((None, 3))

    def call(self, x, training=None):
        return self.dense(self.norm(x, training=training))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        replica = tf.distribute.get_replica_context()
        rows = tf.cast(tf.shape(x)[0], tf.float32)
        total = replica.all_reduce("sum", rows)
        return tf.reduce_sum((y_pred - y["value"]) ** 2) / total


def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, {"value": x.sum(1, keepdims=True)}))


def trained(strategy, directory=None, epochs=(3,), **options):
    for until in epochs:
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = Regressor()
            model.compile(keras.optimizers.SGD(0.1, momentum=0.9, **options))
        history = fit(
            model, data().batch(4), until, directory=directory, verbose=0
        ).history
    return [weight.numpy() for weight in model.weights], history["loss"]


# Clipping must see the gradient of all replicas together.
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.5}])
def test_two_replicas_train_as_one_device(options):
    one, losses = trained(make_strategy("single"), **options)
    two, losses_of_two = trained(make_strategy("mirrored", replicas=2), **options)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(losses, losses_of_two, rtol=1e-5)
    assert losses[-1] < losses[0]


def test_it_goes_on_where_it_stopped(tmp_path):
    whole, losses = trained(make_strategy("single"), tmp_path / "whole")
    parts, losses_of_parts = trained(make_strategy("single"), tmp_path / "p", (1, 3))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)
    assert losses == losses_of_parts


def test_other_models_with_their_own_loss_are_still_refused():
    class Undeclared(Regressor):
        loss_is_of_replica = False

    model = Undeclared()
    model.compile("sgd")
    with pytest.raises(ValueError, match="its own `compute_loss`"):
        prepare(model)
