"""Strategies by name, and what is wrong with a cluster before it starts."""

import json
import signal
import socket
import subprocess
import sys
import threading

import pytest
import tensorflow as tf

from keras_sa.training import make_strategy
from keras_sa.training.cluster import strategy
from keras_sa.training.cluster.launch import free_addresses
from keras_sa.training.cluster.launch import worker_environment
from keras_sa.training.cluster.members import Cluster
from keras_sa.training.cluster.members import check_connections
from keras_sa.training.cluster.members import cluster_of
from keras_sa.training.cluster.members import cluster_resolver
from keras_sa.training.cluster.strategy import is_chief


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


def config(**task):
    return json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": task})


def test_names():
    assert make_strategy("single").num_replicas_in_sync == 1
    assert make_strategy("mirrored", replicas=4).num_replicas_in_sync == 4
    if not tf.config.list_physical_devices("GPU"):
        assert make_strategy("auto").num_replicas_in_sync == 1
    assert is_chief(make_strategy("single"))


@pytest.mark.parametrize(
    "arguments", [("tpu",), ("single", 2), ("mirrored", 0)], ids=str
)
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match="Received"):
        make_strategy(*arguments)


def test_too_many_devices_are_refused_once_devices_are_set_up():
    tf.constant(1)
    with pytest.raises(RuntimeError, match="replicas=64"):
        make_strategy("mirrored", replicas=64)


@pytest.mark.parametrize("gpus, replicas, parts", [(1, 2, 2), (2, 4, 4), (2, 2, 0)])
def test_too_few_gpus_are_cut(gpus, replicas, parts, monkeypatch, capsys):
    found, cut = [f"GPU {i}" for i in range(gpus)], []
    config = tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: found)
    monkeypatch.setattr(config, "get_logical_device_configuration", lambda gpu: None)
    monkeypatch.setattr(
        config, "set_logical_device_configuration", lambda *given: cut.append(given)
    )
    monkeypatch.setattr(strategy, "_free_memory", lambda: 10_000)
    monkeypatch.setattr(
        tf.distribute, "MirroredStrategy", lambda devices, **options: devices
    )
    devices = make_strategy("mirrored", replicas=replicas)
    assert devices == [f"GPU:{i}" for i in range(replicas)]
    assert ("for trying out" in capsys.readouterr().out) == bool(parts)
    assert len(cut) == bool(parts)
    if parts:
        assert cut[0][0] == "GPU 0"
        limits = [part.memory_limit for part in cut[0][1]]
        assert limits == [8000 // parts] * parts


def test_cluster_must_be_said():
    with pytest.raises(ValueError, match="TF_CONFIG"):
        make_strategy("multi_worker")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        config(type="worker", index=2),
        config(type="boss", index=0),
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
    ],
    ids=["json", "list", "index", "job", "address"],
)
def test_malformed_tf_config_is_refused(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="`TF_CONFIG` must be JSON"):
        make_strategy("multi_worker")


def test_slurm_tells_the_cluster(monkeypatch):
    variables = {
        "PROCID": "2",
        "STEP_NUM_TASKS": "4",
        "STEP_NODELIST": "node[1-4]",
        "STEP_TASKS_PER_NODE": "1(x4)",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    cluster = cluster_of(cluster_resolver())
    assert cluster == Cluster(tuple(f"node{i}:8888" for i in range(1, 5)), 2)


def test_missing_worker_is_named_in_time():
    own, missing = free_addresses(2)
    with pytest.raises(ConnectionError, match=f"worker 1 \\({missing}\\)"):
        check_connections(Cluster((own, missing), 0), timeout=0.5)


def test_workers_find_each_other():
    addresses = tuple(free_addresses(2))
    done = threading.Barrier(2)
    found = []

    def worker(index):
        check_connections(Cluster(addresses, index), timeout=20.0)
        host, port = addresses[index].split(":")
        # As TensorFlow's server does from here on.
        with socket.create_server((host, int(port))):
            done.wait(20.0)
            found.append(index)

    threads = [threading.Thread(target=worker, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert sorted(found) == [0, 1]


def test_own_name_may_become_known_later(monkeypatch):
    (own,) = free_addresses(1)
    failures = [socket.gaierror(socket.EAI_NONAME, "not known")] * 2
    bind = socket.socket.bind

    def bind_later(self, address):
        if failures:
            raise failures.pop()
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", bind_later)
    check_connections(Cluster((own,), 0), timeout=20.0)
    assert not failures
    failures += [socket.gaierror(socket.EAI_NONAME, "not known")] * 100
    with pytest.raises(ConnectionError, match="its host name is not known"):
        check_connections(Cluster((own,), 0), timeout=0.3)


@pytest.mark.slow
def test_sigterm_ends_a_worker_that_does_not_train_yet():
    """TensorFlow would swallow it."""
    code = "\n".join(
        [
            "import os, signal, time",
            "from keras_sa.training import make_strategy",
            "make_strategy('multi_worker')",
            "os.kill(os.getpid(), signal.SIGTERM)",
            "time.sleep(5)",
        ]
    )
    worker = subprocess.run(
        [sys.executable, "-c", code],
        env=worker_environment(free_addresses(1), 0),
        capture_output=True,
        timeout=600,
    )
    assert worker.returncode == -signal.SIGTERM, worker.stderr.decode()


def test_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match="another process uses the port"):
            check_connections(Cluster((own,), 0), timeout=1.0)
