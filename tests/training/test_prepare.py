"""`prepare`: what it refuses, and that it leaves the model what it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.training import keras_hooks
from keras_sa.training import make_strategy
from keras_sa.training import prepare


def network():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )


@pytest.fixture
def two():
    return make_strategy("mirrored", replicas=2)


def test_model_outside_of_the_scope_is_refused(two):
    model = network()
    with two.scope():
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="outside of the strategy's scope"):
            prepare(model)


def test_optimizer_outside_of_the_scope_is_refused(two):
    optimizer = keras.optimizers.SGD()
    with two.scope():
        model = network()
        model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match="optimizer's variable"):
        prepare(model)


def test_jit_compile_is_refused_on_several_replicas(two):
    with two.scope():
        model = network()
        model.compile("sgd", "mse", jit_compile=True)
    with pytest.raises(ValueError, match="jit_compile=False"):
        prepare(model)


def test_uncompiled_model_is_refused():
    with pytest.raises(ValueError, match="must be compiled"):
        prepare(network())


def test_own_train_step_is_refused():
    class Own(keras.Model):
        def train_step(self, data):
            return {}

    model = Own()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="its own `train_step`"):
        prepare(model)


def test_prepared_model_is_saved_as_it_was(tmp_path):
    model = network()
    model.compile("sgd", "mse")
    config = model.get_config()
    prepare(model).fit(np.ones((7, 4)), np.ones((7, 1)), batch_size=4, verbose=0)
    assert model.get_config() == config
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert "train_step" not in vars(loaded)
    x = np.ones((2, 4))
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_model_compiled_again_is_still_prepared(two):
    with two.scope():
        model = network()
        model.compile("sgd", "mse")
        prepare(model)
        model.compile(keras.optimizers.SGD(gradient_accumulation_steps=2), "mse")
    # Keras alone can't accumulate under a strategy.
    data = tf.data.Dataset.from_tensor_slices((np.ones((8, 4)), np.ones((8, 1))))
    model.fit(data.batch(4), shuffle=False, verbose=0)


@pytest.mark.parametrize("hook", keras_hooks.HOOKS, ids=lambda hook: hook.name)
def test_hook_that_keras_changed_is_named(hook, monkeypatch):
    keras_hooks.check_keras()
    monkeypatch.setattr(hook.owner, hook.name, lambda self, other: None)
    with pytest.raises(RuntimeError, match=hook.name):
        keras_hooks.check_keras()


def test_versions_are_checked(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.11.3")
    with pytest.raises(RuntimeError, match="needs Keras 3.12"):
        keras_hooks.check_keras()
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    with pytest.warns(UserWarning, match="was tried with Keras up to"):
        keras_hooks.check_keras()


def test_losses_of_two_kinds_are_refused():
    images = keras.Input((4,))
    outputs = [keras.layers.Dense(1)(images), keras.layers.Dense(1)(images)]
    model = keras.Model(images, outputs)
    model.compile(
        "sgd",
        [keras.losses.MeanSquaredError(), keras.losses.MeanSquaredError("sum")],
    )
    x, y = np.ones((4, 4)), np.ones((4, 1))
    with pytest.raises(ValueError, match="must be of one kind"):
        prepare(model).fit(x, (y, y), verbose=0)
