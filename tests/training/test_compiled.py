"""XLA inside every replica: the same results, one shape, and lines where it can't."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.training import L2SGD
from keras_sa.training import fit
from keras_sa.training import make_strategy
from keras_sa.training import prepare
from keras_sa.training.replica_batch import FullBatch
from keras_sa.training.replica_batch import unpack


@pytest.fixture
def two():
    return make_strategy("mirrored", replicas=2)


def scalar_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


def network(loss="mse", norms=False, outputs=1, **options):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, "tanh", kernel_regularizer="l2")(inputs)
    if norms:
        x = keras.layers.BatchNormalization(momentum=0.5)(x)
    found = {f"y{i}": keras.layers.Dense(1, name=f"y{i}")(x) for i in range(outputs)}
    model = keras.Model(inputs, found if outputs > 1 else found["y0"])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.3)
    model.compile(optimizer, loss, weighted_metrics=["mae"] * outputs, **options)
    return model


def batches(outputs=1, weights=True):
    """Of 4, 4 and 1 samples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 4)).astype("float32")
    y = {f"y{i}": x[:, :1] * (i + 2) for i in range(outputs)}
    data = x, y if outputs > 1 else y["y0"]
    if weights:
        data += (np.array([1, 2, 0, 1, 0.5, 1, 1, 3, 1], "float32"),)
    return tf.data.Dataset.from_tensor_slices(data).batch(4)


def result(strategy, xla, data, synchronized=True, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = network(**options)
    prepare(model, synchronized, jit_compile=xla)
    history = model.fit(data, shuffle=False, verbose=0).history
    return [
        *(np.array(values) for values in history.values()),
        *(np.array(value) for value in model.evaluate(data, verbose=0)),
        *keras.tree.flatten(model.predict(data.map(lambda x, *_: x), verbose=0)),
        *model.get_weights(),
    ]


def check(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def one():
    """Of one device without XLA."""
    return result(tf.distribute.get_strategy(), False, batches(), norms=True)


@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("replicas", [2, 1])
def test_replicas_give_the_result_of_one_device(one, replicas, xla, capsys):
    strategy = make_strategy("mirrored", replicas=replicas)
    check(result(strategy, xla, batches(), norms=True), one)
    said = capsys.readouterr().out
    assert ("Compiling the training step" in said) == xla
    assert ("between the sums of its batch norms" in said) == (xla and replicas == 2)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.slow
def test_whole_compiled_steps_give_the_result_of_one_device(two, outputs):
    data = batches(outputs, weights=outputs == 1)
    options = {"outputs": outputs}
    plain = result(tf.distribute.get_strategy(), False, data, **options)
    check(result(two, True, data, **options), plain)


class Marked(keras.layers.Layer):
    """Notes whether TensorFlow is told to compile what it is called with."""

    def call(self, x):
        if isinstance(x, tf.Tensor) and any("Xla" in a for a in x.op.node_def.attr):
            self.marks.append(x.op.get_attr("_XlaCompile"))
        return x


@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
def test_between_the_sums_operations_are_told_to_be_compiled(two, xla):
    marked = Marked()
    marked.marks = []
    with two.scope():
        inputs = keras.Input((4,))
        x = keras.layers.BatchNormalization()(keras.layers.Dense(3)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(1)(marked(x)))
        model.compile("sgd", "mse")
    prepare(model, jit_compile=xla).fit(batches(), shuffle=False, verbose=0)
    assert any(marked.marks) == xla


def updated(strategy, optimizer, xla):
    """Weights and moving averages after three steps."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile(optimizer(), "mse")
    prepare(model, jit_compile=xla)
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, x[:, :2], batch_size=4, shuffle=False, verbose=0)
    return [variable.numpy() for variable in model.variables]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: L2SGD(keras.optimizers.schedules.CosineDecay(0.1, 3), nesterov=True),
        lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1, clipnorm=0.1),
        # What it does beside `update_step` is not lost.
        lambda: keras.optimizers.Nadam(0.1, gradient_accumulation_steps=2),
    ],
    ids=["l2_sgd", "adamw", "nadam"],
)
def test_compiled_updates_are_the_optimizers(two, optimizer):
    plain = updated(tf.distribute.get_strategy(), optimizer, False)
    check(updated(two, optimizer, True), plain)


@pytest.mark.slow
def test_the_update_is_compiled_too(monkeypatch):
    single, data = tf.distribute.get_strategy(), batches()
    plain = result(single, False, data, norms=True)
    compiled, function = [], tf.function

    def counting(*args, **options):
        compiled.append(options.get("jit_compile"))
        return function(*args, **options)

    monkeypatch.setattr(tf, "function", counting)
    check(result(single, True, data, norms=True), plain)
    # Forward and backward, the update, the evaluation, and the prediction twice: Keras
    # traces it for the first batch's shape, then for any.
    assert compiled.count(True) == 5


@pytest.mark.slow
def test_statistics_of_each_replica_are_compiled(two):
    options = {"synchronized": False, "norms": True}
    plain = result(two, False, batches(), **options)
    check(result(two, True, batches(), **options), plain)


@pytest.mark.slow
@pytest.mark.parametrize("norms", [False, True], ids=["whole", "between_sums"])
def test_a_scalar_loss_is_not_compiled_where_rows_pad_the_batch(two, norms, capsys):
    data = batches(weights=False)
    plain = result(tf.distribute.get_strategy(), False, data, norms=norms)
    check(result(two, True, data, loss=scalar_loss, norms=norms), plain)
    assert "gives one number for the batch" in capsys.readouterr().out


class OnHost(keras.layers.Layer):
    """An operation that XLA doesn't have."""

    def call(self, x):
        y = tf.py_function(lambda v: v, [x], tf.float32)
        return tf.ensure_shape(y, x.shape)


def on_host(strategy, supports_jit):
    with strategy.scope():
        layer = OnHost(name="on_host")
        layer.supports_jit = supports_jit
        model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    return prepare(model, jit_compile=True)


def test_xla_compiles_unless_a_layer_says_no(two, capsys):
    data = batches()
    on_host(two, supports_jit=False).fit(data, shuffle=False, verbose=0)
    assert "XLA can't compile on_host" in capsys.readouterr().out
    with pytest.raises(tf.errors.InvalidArgumentError, match="EagerPyFunc"):
        on_host(two, supports_jit=True).fit(data, shuffle=False, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
def test_what_the_model_was_compiled_with_counts(two, compiled, capsys):
    with two.scope():
        model = network(jit_compile=compiled)
    fit(model, batches(), verbose=0)
    assert ("Compiling the training step" in capsys.readouterr().out) == compiled


class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        # The state after the second of three batches is saved already.
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_training_goes_on_at_a_short_batch_bit_for_bit(two, tmp_path):
    def trained(directory, callbacks=()):
        keras.utils.set_random_seed(0)
        with two.scope():
            model = network()
        options = {"directory": directory, "save_every": 1, "jit_compile": True}
        fit(model, batches(), verbose=0, callbacks=callbacks, **options)
        return model.get_weights()

    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", [Stop()])
    for a, b in zip(trained(tmp_path / "parts"), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_short_batches_are_padded_with_copies_of_samples():
    full = FullBatch()
    x, y = tf.reshape(tf.range(8.0), (4, 2)), tf.constant([3, -1, 2, 1])
    first = unpack((x, y, tf.constant([1.0, 0.0, 1.0, 1.0])), full)
    np.testing.assert_array_equal(first.y, [3, 3, 2, 1])
    np.testing.assert_array_equal(first.y_of_samples, [3, 2, 1])
    last = unpack((x[1:2], y[3:], tf.constant([2.0])), full)
    np.testing.assert_array_equal(last.x, [[2, 3]] * 4)
    np.testing.assert_array_equal(last.present, [1, 0, 0, 0])
    np.testing.assert_array_equal(last.weights, [2, 0, 0, 0])
    none = unpack((x[:0], y[:0], tf.zeros([0])), full)
    assert none.x.shape == (4, 2) and none.count == 0
    np.testing.assert_array_equal(none.y, [0] * 4)
