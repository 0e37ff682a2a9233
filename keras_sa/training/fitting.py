"""Training that goes on where it stopped, on one device or many."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import keras

from keras_sa import keras_hooks
from keras_sa.training.batches import Batches
from keras_sa.training.batches import TrainingData
from keras_sa.training.labels import check_classes
from keras_sa.training.labels import labels_in_range
from keras_sa.training.loss_watch import LossWatch
from keras_sa.training.preemption import StopInValidation
from keras_sa.training.preemption import StopSignal
from keras_sa.training.prepared_model import prepare_steps
from keras_sa.training.resuming.description import describe
from keras_sa.training.resuming.lock import only_training
from keras_sa.training.resuming.run import Run
from keras_sa.training.resuming.snapshot import Position
from keras_sa.utils.input_scaling import takes_pixels


def fit(
    model: keras.Model,
    data: TrainingData,
    epochs: int = 1,
    *,
    validation_data: "TrainingData | None" = None,
    validation_freq: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    class_weight: dict[int, float] | None = None,
    verbose: int | Literal["auto"] = "auto",
    directory: str | Path | None = None,
    save_every: int | None = None,
    resume_learning_rate: bool = True,
    synchronized: bool = True,
    jit_compile: bool | Literal["auto"] = "auto",
) -> keras.callbacks.History:
    """Trains like `model.fit`, and goes on where an earlier call stopped.

    With a `directory` the state is saved after every epoch, every `save_every` steps
    and at SIGTERM or Ctrl-C: weights, optimizer, moving averages, metrics, random
    numbers, callbacks, epoch and step. The same call again, after whatever ended the
    first one, goes on from there; the final weights are the same, bit for bit on the
    same devices, if TensorFlow's operations are deterministic and the batches are a
    function of epoch and step. Some operations of GPUs and of detectors sum in any
    order unless `TF_DETERMINISTIC_OPS=1` is in the environment. The batches of
    `keras_sa.data` are such a function; of data by epoch, it must be made sure; a plain
    data set begins every epoch anew after a restart, which is the same only if it isn't
    shuffled.

    One training at a time is saved in a directory, and only the one that was begun
    there goes on; more epochs are no other one. A loss that is no number, grows or
    stands still is told of in a line.

    The model is prepared for its strategy, see `prepare`.

    Args:
        model: A compiled model. Under a strategy, built and compiled in its scope.
        data: What `keras_sa.data.load` returns; or a `tf.data.Dataset` of global
            batches; or a function that makes one of the epoch's number, counted
            from 0.
        epochs: Until how many epochs are done, with those of earlier calls.
        validation_data: Like `data`, evaluated after every `validation_freq` epochs.
        validation_freq: See `validation_data`.
        callbacks: Ordinary Keras callbacks.
        class_weight: Weight of the loss by class number, 1 for those not named. A
            class of weight 0 is left out entirely.
        verbose: As in `model.fit`.
        directory: Where the state is saved. Several workers need the same one, on a
            shared file system; the chief writes, all read.
        save_every: In steps, beside the end of every epoch.
        resume_learning_rate: Whether a training that goes on does so with the learning
            rate of its last step, where that is a number. `False`: with the one that
            the optimizer has now, a number or a schedule. Schedules are never saved:
            the optimizer's is used, at the step that is reached.
        synchronized: Whether batch norms take their statistics over all replicas,
            which gives one device's result, see `prepare`.
        jit_compile: Whether XLA compiles what a replica computes, see `prepare`.

    Returns:
        The `History`, with the epochs of earlier calls.

    Raises:
        Preempted: After SIGTERM or Ctrl-C, when the state is saved. A `SystemExit`: not
            caught, it ends the program with the exit code `EXIT_PREEMPTED`.
        ValueError: If the model can't be trained under its strategy, the global
            batch isn't a multiple of the number of replicas, the model and the data
            both normalise the images, a label is out of range, the saved state is of
            another training, or another process trains in the directory.
        OSError: If all saved states are damaged, or the workers see different ones.

    Example:

    ```python
    data = keras_sa.data.load("folder:photos", batch_size=32)
    keras_sa.training.fit(model, data, epochs=10, directory="run")
    ```
    """
    if epochs < 0 or validation_freq < 1 or (save_every is not None and save_every < 1):
        raise ValueError(
            "`epochs` must be at least 0, `validation_freq` and `save_every` at least "
            f"1. Received: epochs={epochs}, validation_freq={validation_freq}, "
            f"save_every={save_every}"
        )
    for each in (data, validation_data):
        _check_normalization(model, each)
        check_classes(model, each)
    compilation = prepare_steps(model, synchronized, jit_compile)
    strategy = model.distribute_strategy
    batches = Batches(
        data,
        strategy,
        class_weight=class_weight,
        steps_per_execution=model.steps_per_execution,
    )
    validation = validation_data and Batches(validation_data, strategy)
    compilation.batch_size = batches.batch_size
    keras_hooks.build_from_spec(model, batches.all().element_spec)
    model.make_train_function()
    model.stop_training = False
    described = describe(model, data, batches.batch_size, class_weight)
    run = Run(
        model, batches.steps_per_epoch, directory, described, resume_learning_rate
    )
    stop = StopSignal(saves=directory is not None)
    run.callbacks = keras.callbacks.CallbackList(
        [*(callbacks or []), LossWatch(), StopInValidation(run, stop)],
        add_history=True,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        epochs=epochs,
        steps=run.steps_per_epoch,
    )
    logs = {}
    alone = nullcontext()
    if directory is not None and run.chief:
        alone = only_training(directory)
    with alone, stop, labels_in_range(model, data):

        def after_step(before):
            if save_every and before // save_every < run.position.step // save_every:
                run.save()
            run.stop_if_told(stop.received)

        run.load()
        run.begin()
        while run.position.epoch < epochs and not run.finished:
            epoch = run.position.epoch
            logs = run.epoch(epoch, batches, after_step)
            if validation and (epoch + 1) % validation_freq == 0:
                logs |= run.validate(validation)
            run.callbacks.on_epoch_end(epoch, logs)
            model.reset_metrics()
            run.position = Position(epoch + 1)
            run.finished = model.stop_training
            run.save()
            run.stop_if_told(stop.received)
        model.optimizer.finalize_variable_values(model.trainable_weights)
        run.callbacks.on_train_end(logs)
    return model.history


def _check_normalization(model, data):
    if getattr(data, "normalized", False) and takes_pixels(model):
        raise ValueError(
            "The images would be normalised twice: the model takes pixels in 0..255 "
            "and normalises them itself. Load the data with `normalize=False`. "
            f"Received: model={model.name!r}, data={type(data).__name__} that is "
            "normalised"
        )
