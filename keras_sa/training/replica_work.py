"""What a replica computes by itself, without assignments.

Weights and state go in as tensors; outputs, loss, gradients and new state come out.
XLA can compile that under every strategy: the whole, if no batch norm sums over all
replicas, or else everything between the sums.
"""

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import keras

from keras_sa import keras_hooks
from keras_sa.training.batch_norm import BatchRows
from keras_sa.training.batch_norm import batch_rows
from keras_sa.training.compiled import Compilation
from keras_sa.training.replica_batch import Batch

SCALAR_LOSS = (
    "a loss gives one number for the batch, and can't leave out the rows that pad it"
)
ADDED_LOSS = (
    "What layers of {!r} add to its loss counts the rows that pad a short batch, too: "
    "`jit_compile=False` leaves them out."
)


@dataclass(frozen=True)
class LossScale:
    """How a replica's mean becomes its part of the loss of the whole batch.

    Args:
        part: Factor of the mean over the replica's rows.
        output: Factor that makes it the mean over the replica's samples.
        share: Factor of what layers add to the loss: a mean over the replica's rows, or
            of weights alone. Where rows only pad, they count in that mean.
        gradient: Factor of the loss before its gradient is taken, against underflow.
        samples: Number of samples that batch norms divide by.
    """

    part: Any
    output: Any
    share: Any
    gradient: Any
    samples: Any


@dataclass(frozen=True)
class Outcome:
    """What a replica has computed.

    Args:
        y_pred: The network's output for all rows.
        loss: The replica's part of the loss.
        outputs: The mean loss of each output over the replica's samples, if there are
            several.
        gradients: Of the loss, for the trainable weights.
        updates: Pairs of a variable and its new value.
    """

    y_pred: Any
    loss: Any = None
    outputs: Any = ()
    gradients: Any = ()
    updates: Any = ()

    def assign_updates(self) -> None:
        """Gives the variables their new values."""
        for variable, value in self.updates:
            variable.assign(value)


def compute(
    compilation: Compilation,
    kind: str,
    batch: Batch,
    scale: LossScale | None = None,
) -> Outcome:
    """Calls the model on a replica's batch.

    Args:
        compilation: Whether XLA compiles it.
        kind: `"train"`, `"test"` or `"predict"`.
        batch: The replica's batch.
        scale: For the loss; not for `"predict"`.
    """
    import tensorflow as tf

    model = compilation.model
    trainable = list(model.trainable_weights)
    chosen = {id(variable) for variable in trainable}
    others = [*model.variables, *model.metrics_variables]
    variables = trainable + [v for v in others if id(v) not in chosen]
    changed: list[keras.Variable] = []
    synchronized = compilation.synchronized
    present, y, weights = batch.present, batch.y, batch.weights
    arguments = (batch.x, y, weights, present, scale and vars(scale))

    def work(values, arguments, xla):
        x, y, weights, present, scale = arguments
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            watched = trainable if kind == "train" else []
            scope = _Scope(list(zip(variables, values, strict=True)), watched, tape)
            with scope:
                if kind == "train":
                    norms = BatchRows(rows, present, scale["samples"], synchronized)
                    with batch_rows(norms):
                        y_pred = model(x, training=True)
                else:
                    y_pred = model(x, training=False)
                loss: Any = None
                outputs: list = []
                if kind != "predict":
                    if xla and scope.losses and present is not None:
                        compilation.say(ADDED_LOSS.format(model.name))
                    loss, outputs = _loss(
                        model, y, y_pred, weights, present, scale, not xla
                    )
                scaled = loss * tf.cast(scale["gradient"], loss.dtype) if watched else 0
        gradients = scope.gradients(scaled) if watched else []
        new = [scope.get_current_value(variable) for variable in variables]
        pairs = zip(variables, values, new, strict=True)
        found = [(v, now) for v, before, now in pairs if now is not before]
        changed[:] = [variable for variable, _ in found]
        return y_pred, loss, outputs, gradients, [value for _, value in found]

    values = [tf.convert_to_tensor(variable.value) for variable in variables]
    if compilation.decide(kind):
        keras_hooks.settle_function_names()
        compiled = functools.partial(work, xla=True)
        scope = contextlib.nullcontext()
        if compilation.in_parts(kind):
            # A mark of operations: TensorFlow compiles each connected part of them.
            scope = tf.xla.experimental.jit_scope()
        else:
            compiled = tf.function(compiled, autograph=False, jit_compile=True)
        try:
            with scope:
                results = compiled(values, arguments)
        except keras_hooks.ScalarLossError:
            compilation.say_not(kind, SCALAR_LOSS)
            results = work(values, arguments, xla=False)
    else:
        results = work(values, arguments, xla=False)
    y_pred, loss, outputs, gradients, updates = results
    pairs = list(zip(changed, updates, strict=True))
    return Outcome(y_pred, loss, outputs, gradients, pairs)


class _Scope(keras.StatelessScope):
    """The values of variables while the model is called.

    A layer may assign one of its weights and use the new value, as
    `SpectralNormalization` does. For the gradient that is the weight then, not what it
    was computed from: so it is where TensorFlow's variables are assigned.

    Args:
        values: Pairs of a variable and its value.
        watched: Variables for which gradients are wanted, a part of these.
        tape: Watches their values.
    """

    def __init__(self, values, watched, tape):
        super().__init__(values, collect_losses=True)
        self._tape = tape
        self._used = {id(v): [self.get_current_value(v)] for v in watched}
        tape.watch(list(self._used.values()))

    def add_update(self, update) -> None:
        import tensorflow as tf

        variable, value = update
        if id(variable) in self._used:
            value = tf.stop_gradient(value)
            self._tape.watch(value)
            self._used[id(variable)].append(value)
        super().add_update((variable, value))

    def gradients(self, loss) -> list:
        """One for each watched variable, `None` where the loss doesn't depend on it."""
        import tensorflow as tf

        found = []
        for parts in self._tape.gradient(loss, list(self._used.values())):
            parts = [tf.convert_to_tensor(part) for part in parts if part is not None]
            found.append(tf.add_n(parts) if parts else None)
        return found


def _loss(model, y, y_pred, weights, present, scale, gather):
    """The replica's part of the loss, and the losses of the outputs."""
    import tensorflow as tf

    losses, outputs = keras_hooks.additional_losses(model), []
    losses = [loss * tf.cast(scale["share"], loss.dtype) for loss in losses]
    if model.loss is not None:
        if present is not None:
            # What Keras notes of masks at tensors counts rows that only pad.
            y_pred = keras.tree.map_structure(tf.identity, y_pred)
        loss, outputs = keras_hooks.data_loss(
            model, y, y_pred, weights, present, gather
        )
        losses.append(tf.reduce_sum(loss) * tf.cast(scale["part"], loss.dtype))
        outputs = [each * tf.cast(scale["output"], each.dtype) for each in outputs]
    if not losses:
        raise ValueError(
            "There is no loss: compile the model with `loss=...`. "
            f"Received: model={model.name!r}"
        )
    return tf.add_n([tf.cast(loss, losses[-1].dtype) for loss in losses]), outputs
