"""`prepare`: what it refuses, and that it leaves the model what it was."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa import keras_hooks
from keras_sa.keras_hooks import table
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


def test_jit_compile_of_another_kind_is_refused():
    model = network()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="jit_compile='no'"):
        prepare(model, jit_compile="no")


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


@pytest.mark.slow
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


@pytest.mark.parametrize("attribute", keras_hooks.ATTRIBUTES, ids=lambda a: a.name)
def test_attribute_that_keras_lost_is_named(attribute, monkeypatch):
    lost = dataclasses.replace(attribute, example=object)
    monkeypatch.setattr(table, "ATTRIBUTES", (lost,))
    with pytest.raises(RuntimeError, match=f"no `{attribute.name}` any more"):
        keras_hooks.check_keras()


def test_versions_are_checked(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.11.3")
    with pytest.raises(RuntimeError, match="needs Keras 3.12"):
        keras_hooks.check_keras()
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    with pytest.warns(UserWarning, match="was tried with Keras up to"):
        keras_hooks.check_keras()


def logs_of(strategy, loss, outputs):
    """Of a training and an evaluation with 9 samples in batches of 4."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((4,))
        layers = [keras.layers.Dense(1, name=f"y{i}") for i in range(outputs)]
        model = keras.Model(inputs, {layer.name: layer(inputs) for layer in layers})
        model.compile("sgd", loss)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 4)).astype("float32")
    y = {layer.name: x[:, :1] * (i + 2) for i, layer in enumerate(layers)}
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    logs = prepare(model).fit(data, verbose=0, shuffle=False).history
    return {name: values[0] for name, values in logs.items()} | {
        f"val_{name}": value
        for name, value in model.evaluate(data, verbose=0, return_dict=True).items()
    }


def scalar_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


@pytest.mark.parametrize("outputs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_scalar_loss_counts_as_the_mean_it_is(two, outputs):
    theirs = logs_of(tf.distribute.get_strategy(), "mse", outputs)
    # The order of the sums differs.
    assert logs_of(two, scalar_loss, outputs) == pytest.approx(theirs, rel=1e-5)


def test_losses_of_outputs_are_means_over_all_samples(two):
    logs = logs_of(two, "mse", 2)
    assert logs["loss"] == pytest.approx(logs["y0_loss"] + logs["y1_loss"], rel=1e-5)
    assert logs["val_loss"] == pytest.approx(
        logs["val_y0_loss"] + logs["val_y1_loss"], rel=1e-5
    )


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


def masks_of_replicas(strategy, mend):
    with strategy.scope():
        # A nested model, as a base that is fine-tuned.
        dropout = keras.Sequential([keras.Input((512,)), keras.layers.Dropout(0.5)])
        model = keras.Sequential([keras.Input((512,)), dropout])
        model.compile("sgd", "mse")
    if mend:
        prepare(prepare(model))
    ones = tf.ones((1, 512))
    step = tf.function(lambda: strategy.run(lambda: model(ones, training=True)))
    return [
        [np.asarray(mask) for mask in strategy.experimental_local_results(step())]
        for _ in range(2)
    ]


def test_random_layers_differ_between_replicas_and_steps(two):
    np.testing.assert_array_equal(*masks_of_replicas(two, mend=False)[0])
    steps = masks_of_replicas(two, mend=True)
    masks = [mask for step in steps for mask in step]
    for i, a in enumerate(masks):
        assert set(np.unique(a)) == {0.0, 2.0}
        for b in masks[:i]:
            # Of independent masks a half agrees, within five standard deviations.
            assert abs(np.mean(a == b) - 0.5) < 5 * 0.5 / np.sqrt(512)


def test_random_layers_of_one_device_draw_what_they_drew():
    x = np.ones((8, 16), "float32")

    def drawn(mend):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((16,)), keras.layers.Dropout(0.5)])
        model.compile("sgd", "mse")
        return (prepare(model) if mend else model)(x, training=True)

    np.testing.assert_array_equal(drawn(mend=True), drawn(mend=False))
