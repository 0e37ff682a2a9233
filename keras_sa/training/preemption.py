"""Being told to stop: SIGTERM and Ctrl-C end a training with its state saved."""

import os
import signal
import threading

import keras

# EX_TEMPFAIL: the same command again goes on. Schedulers can tell it from a failure.
EXIT_PREEMPTED = 75
WAIT = b"\nStopping after this step to save; Ctrl-C again stops at once, without.\n"


class Preempted(SystemExit):
    """Training was told to stop and has saved its state.

    As a `SystemExit` it ends a program with `EXIT_PREEMPTED` unless it is caught.
    """

    def __init__(self, message: str) -> None:
        super().__init__(EXIT_PREEMPTED)
        self.message = message

    def __str__(self) -> str:
        return self.message


class StopSignal:
    """Notices SIGTERM and Ctrl-C while it is used as a context.

    TensorFlow takes over the handler when a strategy for several workers is made, so
    this must be entered after that. Outside of the main thread, where Python allows
    no handlers, nothing is noticed.

    Args:
        saves: Whether the training can be saved. If not, Ctrl-C stays Python's
            `KeyboardInterrupt`, which the second one is in any case.
    """

    def __init__(self, saves: bool = True):
        self.received = False
        self._numbers = (signal.SIGTERM, *([signal.SIGINT] if saves else []))

    def __enter__(self):
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                # A shell's background job is not to hear of Ctrl-C.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._notice)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            if handler is not None:
                signal.signal(number, handler)

    def _notice(self, number, _):
        if number == signal.SIGINT:
            if self.received:
                raise KeyboardInterrupt
            # Not `print`, which the signal may have interrupted.
            os.write(2, WAIT)
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
