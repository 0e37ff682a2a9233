"""Being told to stop: SIGTERM ends a training with its state saved."""

import signal
import threading

import keras

# EX_TEMPFAIL: the same command again goes on. Schedulers can tell it from a failure.
EXIT_PREEMPTED = 75


class Preempted(SystemExit):
    """Training was told to stop and has saved its state.

    As a `SystemExit` it ends a program with `EXIT_PREEMPTED` unless it is caught.
    """

    def __init__(self, message: str):
        super().__init__(EXIT_PREEMPTED)
        self.message = message

    def __str__(self):
        return self.message


class StopSignal:
    """Notices SIGTERM while it is used as a context.

    TensorFlow takes over the handler when a strategy for several workers is made, so
    this must be entered after that. Outside of the main thread, where Python allows
    no handlers, nothing is noticed.
    """

    def __init__(self):
        self.received = False

    def __enter__(self):
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._notice)
        return self

    def __exit__(self, *_):
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _notice(self, *_):
        self.received = True


class StopInValidation(keras.callbacks.Callback):
    """Ends a training that is told to stop while it validates.

    Args:
        run: The `Run`.
        stop: The `StopSignal`.
    """

    def __init__(self, run, stop: StopSignal):
        super().__init__()
        self.run = run
        self.stop = stop

    def on_test_batch_end(self, batch, logs=None):
        self.run.stop_if_told(self.stop.received)
