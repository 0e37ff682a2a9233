"""`fit`: like `model.fit`, and the same after an interruption."""

import os
import random
import re
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sa.data import load
from keras_sa.recipes.metrics_log import MetricsLog
from keras_sa.recipes.metrics_log import read_metrics
from keras_sa.training import EXIT_PREEMPTED
from keras_sa.training import Preempted
from keras_sa.training import fit
from keras_sa.training import make_strategy
from keras_sa.training.resuming.generations import Generations

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (29, 8, 8, 3), np.uint8)
LABELS = RNG.integers(0, 4, 29)


def network(units=4, **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(16, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(units, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.AdamW(1e-2, use_ema=True),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
        **options,
    )
    return model


def images(**options):
    return load((IMAGES, LABELS), image_size=8, batch_size=8, **options)


def weights(model):
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


class StopAt(keras.callbacks.Callback):
    """SIGTERM to this process after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def test_equals_model_fit():
    x = IMAGES.astype("float32") / 255
    data = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(8)
    ours, theirs = network(), network()
    history = fit(ours, data, 2, validation_data=data, verbose=0).history
    expected = theirs.fit(
        data, epochs=2, validation_data=data, shuffle=False, verbose=0
    ).history
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)
    for a, b in zip(weights(ours), weights(theirs), strict=True):
        # Another order of summation in the batch norm, and Adam's square roots.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("save_every", [2, pytest.param(None, marks=pytest.mark.slow)])
def test_resumed_training_ends_bit_for_bit(tmp_path, save_every):
    data = images(training=True)
    undisturbed = network()
    expected = fit(undisturbed, data, 3, verbose=0).history
    # In the first epoch, between the epochs and in the third.
    for steps in (2, 2, 6):
        with pytest.raises(Preempted) as stopped:
            fit(
                network(),
                data,
                3,
                callbacks=[StopAt(steps)],
                directory=tmp_path,
                save_every=save_every,
                verbose=0,
            )
        assert stopped.value.code == EXIT_PREEMPTED
    model = network()
    history = fit(model, data, 3, directory=tmp_path, verbose=0).history
    for a, b in zip(weights(model), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert history == expected


class StopInValidation(keras.callbacks.Callback):
    """SIGTERM to this process in the middle of a validation."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch
        self.now = False

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch == self.epoch

    def on_test_batch_begin(self, batch, logs=None):
        if self.now and batch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_test_end(self, logs=None):
        assert not self.now, "the validation went on to its end"


@pytest.mark.slow
def test_stopped_in_a_validation_it_resumes_before_it(tmp_path):
    def train(*callbacks, **options):
        model = network()
        # Evaluates with the averages and trains on with the weights.
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        history = fit(
            model,
            images(training=True),
            3,
            validation_data=images(),
            callbacks=[swap, *callbacks],
            verbose=0,
            **options,
        ).history
        return model, history

    undisturbed, expected = train()
    with pytest.raises(Preempted, match="epoch 1 after 4 steps"):
        train(StopInValidation(1), directory=tmp_path)
    model, history = train(directory=tmp_path)
    assert history == expected
    for a, b in zip(weights(model), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_finished_training_is_not_trained_again(tmp_path):
    first = network()
    history = fit(first, images(), 2, directory=tmp_path, verbose=0).history
    again = network()
    assert fit(again, images(), 2, directory=tmp_path, verbose=0).history == history
    for a, b in zip(weights(first), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_early_stopping_remembers_after_a_restart(tmp_path):
    def run(epochs):
        stopping = keras.callbacks.EarlyStopping("loss", patience=3, min_delta=100.0)
        model = network()
        fit(
            model, images(), epochs, callbacks=[stopping], directory=tmp_path, verbose=0
        )
        return stopping

    assert run(2).wait == 1
    # The third epoch without improvement comes after the restart.
    assert run(9).stopped_epoch == 3


@pytest.mark.slow
def test_another_callback_takes_no_memory_from_the_others(tmp_path):
    options = {"directory": tmp_path / "state", "verbose": 0}
    log = MetricsLog(tmp_path, 8)
    fit(network(), images(), 2, callbacks=[log], **options)
    log = MetricsLog(tmp_path, 8)
    stopping = keras.callbacks.EarlyStopping("loss", patience=9)
    with pytest.warns(UserWarning, match="'EarlyStopping'.*start anew"):
        fit(network(), images(), 3, callbacks=[stopping, log], **options)
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [1, 2, 3]


def test_the_progress_bar_counts_epochs_and_steps(capsys):
    fit(network(), images(), 2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == [
        "Epoch 1/2",
        "Epoch 2/2",
    ]
    steps = len(list(images().epoch(0)))
    assert sum(line.startswith(f"{steps}/{steps} - ") for line in lines) == 2


def test_endless_data_is_refused():
    x = IMAGES.astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(8).repeat()
    with pytest.raises(ValueError, match=r"data.take\(steps\)"):
        fit(network(), data, verbose=0)
    fit(network(), data.take(2), verbose=0)


def test_state_of_another_model_is_refused(tmp_path):
    fit(network(), images(), 1, directory=tmp_path, verbose=0)
    with pytest.raises(ValueError, match="another model or optimizer"):
        fit(network(units=5), images(), 2, directory=tmp_path, verbose=0)


@pytest.mark.parametrize("nested", [False, True])
def test_images_are_not_normalised_twice(nested):
    x = keras.Input((8, 8, 3))
    flatten = keras.layers.Flatten()
    # As the base of a network that is fine-tuned.
    base = keras.Sequential([keras.Input((8, 8, 3)), flatten]) if nested else flatten
    pixels = base(keras.layers.Rescaling(1 / 255)(x))
    model = keras.Model(x, keras.layers.Dense(4)(pixels))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="normalised twice.*normalize=False"):
        fit(model, images(), verbose=0)
    fit(model, images(normalize=False), verbose=0)


def test_global_batch_must_be_a_multiple_of_the_replicas():
    with make_strategy("mirrored", replicas=2).scope():
        model = network()
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(7)
    with pytest.raises(ValueError, match="multiple of the number of replicas"):
        fit(model, batches, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weight": "balanced"}, "class_weight='?balanced"),
        ({"class_weight": {"0": 2.0}}, "dict of class numbers"),
        ({"class_weight": {0: 2.0}, "data": "outputs"}, "labels of one output"),
        ({"data": "single"}, "must be one of batches"),
        ({"validation_freq": 0}, "validation_freq=0"),
        ({"loss": None}, "There is no loss"),
    ],
)
def test_what_can_not_be_trained_is_named(options, message):
    options = dict(options)
    samples = tf.data.Dataset.from_tensor_slices((np.ones((4, 3)), np.ones(4)))
    data = {
        None: samples.batch(2),
        "outputs": samples.batch(2).map(lambda x, y: (x, {"a": y, "b": y})),
        "single": samples,
    }
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", options.pop("loss", "mse"))
    with pytest.raises(ValueError, match=message):
        fit(model, data[options.pop("data", None)], verbose=0, **options)


def test_class_weight_of_soft_labels_is_the_mean():
    """Weights for labels as numbers and as distributions train alike."""
    x = IMAGES.astype("float32") / 255
    sparse = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(8)
    dense = sparse.map(lambda x, y: (x, tf.one_hot(y, 4)))
    first, second = network(), network()
    second.compile(second.optimizer, "categorical_crossentropy")
    fit(first, sparse, class_weight={1: 3.0}, verbose=0)
    fit(second, dense, class_weight={1: 3.0}, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_several_steps_an_execution_stay_in_their_epoch():
    one, three = network(), network(steps_per_execution=3)
    fit(one, images(), 2, verbose=0)
    fit(three, images(), 2, verbose=0)
    for a, b in zip(weights(one), weights(three), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class InterruptAt(keras.callbacks.Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, step, times=1):
        super().__init__()
        self.step, self.times = step, times

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def python_hears_interrupts():
    """Also where the tests run as a shell's background job, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_hears_interrupts")
def test_an_interrupt_saves_and_says_so(tmp_path, capfd):
    with pytest.raises(Preempted) as stopped:
        interrupt = [InterruptAt(2)]
        fit(network(), images(), 2, callbacks=interrupt, directory=tmp_path, verbose=0)
    assert stopped.value.code == EXIT_PREEMPTED
    told = capfd.readouterr()
    assert "Stopping after this step to save" in told.err
    assert "Stopped in epoch 0 after 2 steps; the state is in" in told.out
    # Python's own handler is there again.
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_job_that_ignores_interrupts_goes_on(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        options = {"directory": tmp_path, "verbose": 0}
        fit(linear(0.05), images(), 1, callbacks=[InterruptAt(1)], **options)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_hears_interrupts")
def test_interrupts_that_do_not_save(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(network(), images(), callbacks=[InterruptAt(1)], verbose=0)
    twice = [InterruptAt(1, times=2)]
    with pytest.raises(KeyboardInterrupt):
        fit(network(), images(), callbacks=twice, directory=tmp_path, verbose=0)


def linear(rate, **options):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(4, "softmax"))
    optimizer = keras.optimizers.SGD(rate, **options)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def rate_of(model):
    return pytest.approx(float(model.optimizer.learning_rate), rel=1e-6)


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory):
    directory = tmp_path_factory.mktemp("first_epoch")
    fit(linear(0.05), images(), 1, directory=directory, verbose=0)
    return directory


@pytest.fixture
def begun(first_epoch, tmp_path):
    """A directory with an epoch at the learning rate 0.05."""
    return shutil.copytree(first_epoch, tmp_path / "begun")


SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.02, 8, 0.5)


@pytest.mark.parametrize(
    "goes_on, used, said",
    [
        (True, 0.05, "learning rate 0.05 of the saved training, not .* 0.01 of the"),
        (False, 0.01, "Goes on with the learning rate 0.01 of the optimizer, after"),
    ],
)
def test_two_learning_rates(begun, capsys, goes_on, used, said):
    model, options = linear(0.01), {"directory": begun, "verbose": 0}
    fit(model, images(), 2, resume_learning_rate=goes_on, **options)
    assert used == rate_of(model)
    assert re.search(said, capsys.readouterr().out)


def test_a_schedule_and_a_number_replace_each_other_when_told(begun):
    options = {"directory": begun, "verbose": 0}
    words = "saved training has the learning rate 0.05, the optimizer a schedule"
    with pytest.raises(ValueError, match=words):
        fit(linear(SCHEDULE), images(), 2, **options)
    model = linear(SCHEDULE)
    fit(model, images(), 2, resume_learning_rate=False, **options)
    # At the step that is reached, 4 an epoch.
    assert 0.01 == rate_of(model)
    with pytest.raises(ValueError, match="has a schedule, the optimizer the learning"):
        fit(linear(0.03), images(), 3, **options)
    model = linear(0.03)
    fit(model, images(), 3, resume_learning_rate=False, **options)
    assert 0.03 == rate_of(model)


@pytest.mark.parametrize(
    "model, data, words",
    [
        ({"clipnorm": 0.9}, {}, "optimizer.clipnorm was null, now 0.9"),
        ({}, {"labels": LABELS % 3}, 'class_names was .*"3".*, now'),
        ({}, {"batch_size": 4}, "batch_size was 8, now 4"),
        ({}, {"seed": 7}, "preparation.seed was 0, now 7"),
        ({}, {"class_weight": {1: 2.0}}, "class_weight.1 was null, now 2.0"),
    ],
)
def test_another_training_does_not_go_on(begun, model, data, words):
    options = {"directory": begun, "verbose": 0}
    labels = data.pop("labels", LABELS)
    options["class_weight"] = data.pop("class_weight", None)
    data = load((IMAGES, labels), image_size=8, **{"batch_size": 8, **data})
    with pytest.raises(ValueError, match=f"state of another training.*{words}"):
        fit(linear(0.05, **model), data, 2, **options)


def test_two_trainings_in_one_directory_are_refused(tmp_path):
    class Second(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with pytest.raises(ValueError, match="Another process is training in"):
                fit(linear(0.05), images(), 1, directory=tmp_path, verbose=0)

    fit(linear(0.05), images(), 1, callbacks=[Second()], directory=tmp_path, verbose=0)


def test_random_numbers_of_python_and_numpy_go_on(tmp_path):
    """Callbacks and generators of data draw them."""

    class Draw(keras.callbacks.Callback):
        def __init__(self):
            self.drawn = []

        def on_epoch_begin(self, epoch, logs=None):
            self.drawn.append((random.random(), np.random.rand()))

    def drawn(epochs, **options):
        draw = Draw()
        fit(linear(0.05), images(), epochs, callbacks=[draw], verbose=0, **options)
        return draw.drawn

    keras.utils.set_random_seed(3)
    expected = drawn(3)
    keras.utils.set_random_seed(3)
    drawn(1, directory=tmp_path)
    keras.utils.set_random_seed(4)
    assert drawn(3, directory=tmp_path) == expected[1:]


@pytest.mark.parametrize("save_every, steps", [(3, [3, 6]), (None, [])])
def test_the_state_is_saved_every_so_many_steps(tmp_path, save_every, steps):
    """What a kill leaves in the middle of an epoch."""
    found = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            state = Generations(tmp_path).read()
            if state is not None:
                found.append(state[1]["step"])

    x = tf.data.Dataset.from_tensor_slices((IMAGES.astype("float32"), LABELS)).batch(4)
    options = {"directory": tmp_path, "save_every": save_every, "verbose": 0}
    fit(linear(0.05), x, 1, callbacks=[Look()], **options)
    assert sorted(set(found)) == steps
