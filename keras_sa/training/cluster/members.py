"""Who takes part in training on several machines, and whether they can be reached."""

import errno
import json
import os
import socket
import time
from dataclasses import dataclass

SLURM_PORT = 8888


@dataclass(frozen=True)
class Cluster:
    """The workers of one training, in the order of their numbers.

    Args:
        addresses: `host:port` of each worker. The first one is the chief, which
            writes all files.
        index: The number of this process.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        return self.index == 0


def cluster_resolver():
    """TensorFlow's resolver for `TF_CONFIG`, or for Slurm where that is not set.

    Returns:
        A `tf.distribute.cluster_resolver.ClusterResolver`.

    Raises:
        ValueError: If neither says who takes part, or `TF_CONFIG` is malformed.
    """
    import tensorflow as tf

    if os.environ.get("TF_CONFIG"):
        _check_tf_config(os.environ["TF_CONFIG"])
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ:
        return _slurm_resolver()
    raise ValueError(
        "Training on several machines needs the environment variable `TF_CONFIG`, "
        "or to be started by `srun` or `keras-sa launch`. `TF_CONFIG` is JSON such as "
        '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )


def cluster_of(resolver) -> Cluster:
    """The workers that a cluster resolver names.

    Raises:
        ValueError: If this process is none of them.
    """
    jobs = resolver.cluster_spec().as_dict()
    addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
    index = resolver.task_id
    if resolver.task_type == "worker":
        index += len(jobs.get("chief", []))
    if resolver.task_type not in ("chief", "worker") or not index < len(addresses):
        raise ValueError(
            "This process is none of the cluster's workers. Received: "
            f"task={resolver.task_type} {resolver.task_id}, cluster={jobs}"
        )
    return Cluster(tuple(addresses), index)


def check_connections(cluster: Cluster, timeout: float = 60.0) -> None:
    """Waits until every worker of the cluster answers.

    TensorFlow itself waits for minutes, silently, when one is missing. While it
    waits, this process answers the others at its own address.

    Args:
        cluster: The workers.
        timeout: Seconds to wait for them.

    Raises:
        ConnectionError: If a worker doesn't answer in time, or this process can't
            listen at its own address.
    """
    deadline = time.monotonic() + timeout
    missing = {i for i in range(len(cluster.addresses)) if i != cluster.index}
    with _listen(cluster, deadline):
        while missing:
            missing = {i for i in missing if not _answers(cluster.addresses[i])}
            if missing and time.monotonic() > deadline:
                names = ", ".join(
                    f"worker {i} ({cluster.addresses[i]})" for i in sorted(missing)
                )
                raise ConnectionError(
                    f"No answer within {timeout:g} s from {names}. Every worker must "
                    "be started, with the same list of addresses, and its port must "
                    f"be open. Received: {cluster}"
                )
            if missing:
                time.sleep(0.2)


def _check_tf_config(text):
    try:
        config = json.loads(text)
        workers = config["cluster"]
        task = config["task"]
        valid = (
            all(isinstance(job, list) and job for job in workers.values())
            and task["type"] in workers
            and 0 <= int(task["index"]) < len(workers[task["type"]])
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise ValueError(
            "`TF_CONFIG` must be JSON with the cluster's addresses and this process's "
            'task, such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
            '"task": {"type": "worker", "index": 0}}. '
            f"Received: TF_CONFIG={text!r}"
        )


def _slurm_resolver():
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=SLURM_PORT,
        # One process sees the GPUs that srun gave it and uses all of them. Without
        # one, TensorFlow's resolver needs the number to be positive all the same.
        gpus_per_node=max(gpus, 1) * _slurm_tasks_per_node(),
        gpus_per_task=max(gpus, 1),
        auto_set_gpu=False,
    )
    if not gpus:
        resolver.num_accelerators = lambda *args, **kwargs: {"GPU": 0}
    # The task's type and number are known from here on.
    resolver.cluster_spec()
    return resolver


def _slurm_tasks_per_node():
    counts = os.environ["SLURM_STEP_TASKS_PER_NODE"].split(",")
    return max(int(count.split("(")[0]) for count in counts)


def _split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def _listen(cluster, deadline):
    address = _split(cluster.addresses[cluster.index])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _bind(listener, address, deadline)
        listener.listen()
    except OSError as error:
        listener.close()
        reason = {
            socket.EAI_NONAME: "its host name is not known",
            errno.EADDRINUSE: "another process uses the port",
            errno.EADDRNOTAVAIL: "the address belongs to another machine",
        }.get(error.errno or 0, error)
        raise ConnectionError(
            f"Worker {cluster.index} can't listen at its address: {reason}. "
            f"Received: {cluster}"
        ) from error
    return listener


def _bind(listener, address, deadline):
    while True:
        try:
            return listener.bind(address)
        except socket.gaierror:
            # A machine that has just been started may get its name later.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _answers(address):
    try:
        with socket.create_connection(_split(address), timeout=1):
            return True
    except OSError:
        return False
