"""A training whose loss goes wrong says so while it runs."""

import math

import keras

from keras_sa.training.cluster.strategy import is_chief

# Steps between two looks inside an epoch: each waits for the device.
STEPS = 100
EPOCHS = 3
# By less than this part of it a loss stands still; batches in another order make more.
STILL = 1e-5
# A loss this small may stay where it is.
SOLVED = 1e-6
GROWTH = 2.0


class LossWatch(keras.callbacks.Callback):
    """Says once each that the loss is no number, grows or stands still.

    It looks at the training's loss after every epoch, and every 100 steps whether it
    is still a number. `keras_sa.training.fit` has it always; `model.fit` takes it like
    any callback.
    """

    # Keras need not wait for the device after every step.
    async_safe = True

    def __init__(self):
        super().__init__()
        self._said = set()

    def on_train_begin(self, logs=None):
        self._losses = []
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        if self._steps % STEPS == 0 and "loss" in (logs or {}):
            self._check_finite(logs["loss"], f"after {self._steps} steps")

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or not self._check_finite(loss, f"in epoch {epoch + 1}"):
            return
        self._losses.append(float(loss))
        first, last = self._losses[0], self._losses[-EPOCHS - 1 :]
        if loss > GROWTH * first > 0:
            self._say(
                "grows",
                f"has grown from {first:.4g} to {loss:.4g} in epoch {epoch + 1}: the "
                "training diverges. Try a lower learning rate, a warm-up or clipped "
                "gradients",
            )
        small = STILL * abs(loss)
        if len(last) > EPOCHS and abs(loss) > SOLVED and max(last) - min(last) <= small:
            self._say(
                "stands still",
                f"has stood still at {loss:.6g} since epoch {epoch + 1 - EPOCHS}: "
                "nothing is learned any more, as from outputs that are saturated, "
                "layers that are frozen or a learning rate of 0",
            )

    def _check_finite(self, loss, when):
        finite = math.isfinite(loss)
        if not finite:
            self._say(
                "is no number",
                f"is {float(loss)} {when}: the weights are lost. Begin again with a "
                "lower learning rate, and make sure that the labels are in the range "
                "of the classes and the inputs are numbers",
            )
        return finite

    def _say(self, kind, what):
        if kind not in self._said and is_chief(self.model.distribute_strategy):
            print(f"The loss of {self.model.name!r} {what}.", flush=True)
        self._said.add(kind)
