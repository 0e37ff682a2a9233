"""`tf.distribute` strategies by name."""

import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from keras_sa.training.cluster.members import check_connections
from keras_sa.training.cluster.members import cluster_of
from keras_sa.training.cluster.members import cluster_resolver

if TYPE_CHECKING:
    import tensorflow as tf

# In MB, where a GPU can't be asked.
FREE_MEMORY = 8192


def make_strategy(
    name: str = "auto",
    replicas: int | None = None,
    timeout: float = 60.0,
) -> "tf.distribute.Strategy":
    """A `tf.distribute` strategy by name.

    To be called before anything is computed: it sets up devices.

    Args:
        name: `"single"`: one device, the first GPU if there is one. `"mirrored"`:
            several devices of this machine. `"multi_worker"`: several processes,
            on one machine or many, as `TF_CONFIG` or Slurm says. `"auto"`: mirrored
            if this machine has several GPUs, else single.
        replicas: For `"mirrored"`, how many GPUs to use; all of them by default. To
            try things out it may be more than there are: then the first one is cut
            into logical devices, or the CPU if there is none. Without a GPU the
            default is 2.
        timeout: For `"multi_worker"`, how many seconds to wait for the other
            workers to answer; 0 doesn't ask them.

    Returns:
        A `tf.distribute.Strategy`. Build and compile the model inside
        `with strategy.scope():`.

    Raises:
        ValueError: If the name or `replicas` is wrong.
        RuntimeError: If a device can't be cut into logical ones any more.
        ConnectionError: If another worker can't be reached.

    Example:

    >>> make_strategy("single").num_replicas_in_sync
    1
    """
    import tensorflow as tf

    if name not in ("auto", *STRATEGIES):
        raise ValueError(
            f"`name` must be one of {['auto', *STRATEGIES]}. Received: name={name!r}"
        )
    if replicas is not None and (replicas < 1 or name != "mirrored"):
        raise ValueError(
            '`replicas` must be at least 1 and needs the strategy "mirrored". '
            f"Received: name={name!r}, replicas={replicas}"
        )
    if name == "auto":
        several = len(tf.config.list_logical_devices("GPU")) > 1
        name = "mirrored" if several else "single"
    return STRATEGIES[name](replicas, timeout)


def is_chief(strategy: "tf.distribute.Strategy") -> bool:
    """Whether this process writes the files: the first of several workers."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return True
    return cluster_of(resolver).is_chief


def use_logical_cpus(count: int) -> None:
    """Cuts the CPU into logical devices, to try out several replicas without GPUs.

    Args:
        count: At least so many there will be.

    Raises:
        RuntimeError: If TensorFlow has set up its devices already.
    """
    import tensorflow as tf

    _cut("CPU", [tf.config.LogicalDeviceConfiguration()] * count)


def _cut(kind, parts):
    """Cuts the first device of a kind into logical ones."""
    import tensorflow as tf

    device = tf.config.list_physical_devices(kind)[0]
    devices = tf.config.get_logical_device_configuration(device) or [None]
    if len(devices) >= len(parts):
        return
    try:
        tf.config.set_logical_device_configuration(device, parts)
    except RuntimeError as error:
        raise RuntimeError(
            f"The {kind} can be cut into several devices only before anything is "
            "computed: make the strategy first. Received: "
            f"replicas={len(parts)}, devices={len(devices)}"
        ) from error


def _free_memory():
    """Of a GPU in MB; TensorFlow knows it only when it has set up its devices."""
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True)
        # Which of them is the first one that TensorFlow sees isn't said.
        return min(int(line) for line in answer.stdout.split())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return FREE_MEMORY


def _single(replicas, timeout):
    import tensorflow as tf

    # The strategy in whose absence everything runs: its scope changes nothing.
    return tf.distribute.get_strategy()


def _mirrored(replicas, timeout):
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        replicas = replicas or gpus
        if replicas <= gpus:
            return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
        part = tf.config.LogicalDeviceConfiguration(_free_memory() * 4 // 5 // replicas)
        _cut("GPU", [part] * replicas)
        print(
            f"This machine has {gpus} GPUs: the first one is cut into {replicas} "
            "logical ones, which is for trying out and not faster.",
            flush=True,
        )
        return _without_collectives("GPU", replicas)
    replicas = replicas or 2
    use_logical_cpus(replicas)
    return _without_collectives("CPU", replicas)


def _without_collectives(kind, replicas):
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        [f"{kind}:{i}" for i in range(replicas)],
        # The default, collectives, can't be used twice with different numbers of
        # devices in a process, nor with several steps an execution.
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def _multi_worker(replicas, timeout):
    import tensorflow as tf

    resolver = cluster_resolver()
    cluster = cluster_of(resolver)
    if timeout:
        check_connections(cluster, timeout)
    before = signal.getsignal(signal.SIGTERM)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    if threading.current_thread() is threading.main_thread():
        # TensorFlow takes the signal from here on and does nothing when it comes:
        # until `fit` listens to it, and after that, the process could not be ended.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    return strategy


STRATEGIES = {
    "single": _single,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
}
