"""`tf.distribute` strategies by name."""

import signal
import threading

from keras_sa.training.cluster.members import check_connections
from keras_sa.training.cluster.members import cluster_of
from keras_sa.training.cluster.members import cluster_resolver


def make_strategy(
    name: str = "auto", replicas: int | None = None, timeout: float = 60.0
):
    """A `tf.distribute` strategy by name.

    To be called before anything is computed: it sets up devices.

    Args:
        name: `"single"`: one device, the first GPU if there is one. `"mirrored"`:
            several devices of this machine. `"multi_worker"`: several processes,
            on one machine or many, as `TF_CONFIG` or Slurm says. `"auto"`: mirrored
            if this machine has several GPUs, else single.
        replicas: For `"mirrored"`, how many GPUs to use; all of them by default.
            Without a GPU, into how many logical devices to cut the CPU, to try
            things out. The default is 2 then.
        timeout: For `"multi_worker"`, how many seconds to wait for the other
            workers to answer; 0 doesn't ask them.

    Returns:
        A `tf.distribute.Strategy`. Build and compile the model inside
        `with strategy.scope():`.

    Raises:
        ValueError: If the name is unknown or the machine doesn't have the devices.
        RuntimeError: If the CPU can't be cut into logical devices any more.
        ConnectionError: If another worker can't be reached.

    Example:

    >>> make_strategy("single").num_replicas_in_sync
    1
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(
            f"`name` must be one of {list(STRATEGIES)}. Received: name={name!r}"
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


def is_chief(strategy) -> bool:
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

    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(devices) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise RuntimeError(
            "The CPU can be cut into several devices only before anything is "
            "computed: make the strategy first. Received: "
            f"replicas={count}, devices={len(devices)}"
        ) from error


def _single(replicas, timeout):
    import tensorflow as tf

    # The strategy in whose absence everything runs: its scope changes nothing.
    return tf.distribute.get_strategy()


def _mirrored(replicas, timeout):
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        replicas = replicas or gpus
        if replicas > gpus:
            raise ValueError(
                f"This machine has {gpus} GPUs. Received: replicas={replicas}"
            )
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
    replicas = replicas or 2
    use_logical_cpus(replicas)
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(replicas)],
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
    "auto": None,
    "single": _single,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
}
