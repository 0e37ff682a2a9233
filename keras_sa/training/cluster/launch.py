"""Several worker processes on one machine, watched as one."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import ExitStack

from keras_sa.training.preemption import EXIT_PREEMPTED

POLL = 0.1
# Windows has no SIGKILL, and ends a process by SIGTERM as surely.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def launch(
    command: Sequence[str],
    workers: int,
    *,
    gpus_per_worker: int | None = None,
    grace: float = 30.0,
    restarts: int = 0,
    write: Callable[[str], None] | None = None,
) -> int:
    """Runs a command in several processes that train together.

    Each process gets a `TF_CONFIG` with addresses on 127.0.0.1. When one fails, the
    others can't go on: they get SIGTERM, and SIGKILL after `grace` seconds. SIGTERM
    and SIGINT to this process are passed on in the same way. To be called in the
    main thread.

    Args:
        command: The program and its arguments.
        workers: How many processes.
        gpus_per_worker: If given, worker `i` sees only its share of the GPUs,
            counted from 0.
        grace: Seconds between SIGTERM and SIGKILL.
        restarts: How often all processes are started again after a failure, to
            resume where they stopped. Not after SIGTERM or SIGINT.
        write: Gets every line of the processes' output, with its worker in front.
            Prints by default.

    Returns:
        0 if all processes ended with 0, `EXIT_PREEMPTED` if they were told to stop
        and saved their state, else the first failure's exit code.

    Raises:
        ValueError: If the number of workers or of GPUs is not positive.
    """
    for name, value in (("workers", workers), ("gpus_per_worker", gpus_per_worker)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
    write = write or (lambda line: print(line, flush=True))
    stop = threading.Event()
    with ExitStack() as handlers:
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.signal(number, lambda *_: stop.set())
            handlers.callback(signal.signal, number, previous)
        for attempt in range(restarts + 1):
            if attempt:
                write(f"[launch] restart {attempt} of {restarts}")
            with _Workers(command, workers, gpus_per_worker, write) as group:
                code = group.watch(stop, grace)
            if code == 0 or stop.is_set():
                break
    return code


def worker_environment(
    addresses: Sequence[str], index: int, gpus_per_worker: int | None = None
) -> dict[str, str]:
    """The environment of one worker process.

    Args:
        addresses: `host:port` of all workers.
        index: The worker's number.
        gpus_per_worker: If given, how many GPUs it sees.
    """
    cluster = {
        "cluster": {"worker": list(addresses)},
        "task": {"type": "worker", "index": index},
    }
    environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
    if gpus_per_worker is not None:
        first = index * gpus_per_worker
        gpus = range(first, first + gpus_per_worker)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    return environment


def free_addresses(count: int) -> list[str]:
    """Addresses on 127.0.0.1 whose ports nobody uses now."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in found]


class _Workers:
    """A group of processes; leaving the context ends what still runs."""

    def __init__(self, command, count, gpus_per_worker, write):
        addresses = free_addresses(count)
        self.write = write
        self.processes = []
        self.readers = []
        for index in range(count):
            process = subprocess.Popen(
                list(command),
                env=worker_environment(addresses, index, gpus_per_worker),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # A group of its own: Ctrl-C reaches the workers through here only.
                start_new_session=True,
            )
            self.processes.append(process)
            reader = threading.Thread(target=self._read, args=(index, process))
            reader.start()
            self.readers.append(reader)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._signal(KILL)
        for process, reader in zip(self.processes, self.readers, strict=True):
            process.wait()
            reader.join()
            if process.stdout is not None:
                process.stdout.close()

    def watch(self, stop, grace):
        """Waits until all have ended; the group's exit code."""
        failure = None
        deadline = None
        while True:
            codes = [process.poll() for process in self.processes]
            if failure is None:
                # The code of the one that failed first is the one that explains it.
                failure = next((code for code in codes if code), None)
            if None not in codes:
                return _exit_code(failure, stop.is_set())
            if deadline is None and (failure or stop.is_set()):
                deadline = time.monotonic() + grace
                self._report(codes)
                self._signal(signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                running = [i for i, code in enumerate(codes) if code is None]
                self.write(f"[launch] workers {running} don't end: SIGKILL")
                self._signal(KILL)
                return _exit_code(failure or 1, False)
            time.sleep(POLL)

    def _report(self, codes):
        for index, code in enumerate(codes):
            if code:
                self.write(f"[launch] worker {index} ended with {code}")
        self.write("[launch] SIGTERM to the workers")

    def _signal(self, number):
        for process in self.processes:
            if process.poll() is not None:
                continue
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                # Windows has neither groups nor SIGTERM: this ends the worker at once.
                process.terminate()

    def _read(self, index, process):
        for line in process.stdout:
            self.write(f"[worker {index}] {line.rstrip()}")


def _exit_code(failure, stopped):
    if failure is None:
        # Ended well before the signal arrived.
        return 0
    if stopped and failure == EXIT_PREEMPTED:
        return EXIT_PREEMPTED
    return failure if failure > 0 else 128 - failure
