"""The launcher: output, failures and signals of several processes."""

import json
import os
import signal
import sys
import time

import pytest

from keras_sa.training import EXIT_PREEMPTED
from keras_sa.training.cluster.launch import launch

PRELUDE = "import json, os, signal, sys, time\n" + (
    "index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
)


def run(code, workers=2, **options):
    lines = []
    started = time.monotonic()
    command = [sys.executable, "-u", "-c", PRELUDE + code]
    result = launch(command, workers, **{"write": lines.append, **options})
    return result, lines, time.monotonic() - started


def test_output_is_prefixed_and_the_cluster_is_the_same_for_all():
    code, lines, _ = run("print(os.environ['TF_CONFIG'])")
    assert code == 0
    configs = {line.split("] ")[0]: json.loads(line.split("] ")[1]) for line in lines}
    assert set(configs) == {"[worker 0", "[worker 1"}
    assert configs["[worker 0"]["cluster"] == configs["[worker 1"]["cluster"]
    assert configs["[worker 1"]["task"] == {"type": "worker", "index": 1}


def test_failure_of_one_ends_the_others():
    code, lines, seconds = run("sys.exit(3) if index else time.sleep(60)")
    assert code == 3
    assert seconds < 20
    assert "[launch] worker 1 ended with 3" in lines


def test_worker_that_ignores_sigterm_is_killed():
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')\n"
    code, lines, seconds = run(
        "if index:\n  time.sleep(1); sys.exit(3)\n" + ignore + "time.sleep(60)",
        grace=0.5,
    )
    assert code == 3
    assert seconds < 20
    assert any("SIGKILL" in line for line in lines)


def test_sigterm_is_passed_on_and_saved_states_have_their_own_code():
    ready = []

    def stop_when_both_are_ready(line):
        ready.append(line)
        if len(ready) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    save = f"signal.signal(signal.SIGTERM, lambda *_: sys.exit({EXIT_PREEMPTED}))\n"
    code, _, seconds = run(
        save + "print('ready'); time.sleep(60)", write=stop_when_both_are_ready
    )
    assert code == EXIT_PREEMPTED
    assert seconds < 20


def test_restarts_after_a_failure(tmp_path):
    marker = tmp_path / "marker"
    code, lines, _ = run(
        f"if not os.path.exists({str(marker)!r}):\n"
        f"  time.sleep(0.5); open({str(marker)!r}, 'w').close(); sys.exit(1)",
        restarts=1,
    )
    assert code == 0
    assert "[launch] restart 1 of 1" in lines


def test_gpus_are_shared_out():
    _, lines, _ = run("print(os.environ['CUDA_VISIBLE_DEVICES'])", gpus_per_worker=2)
    assert sorted(lines) == ["[worker 0] 0,1", "[worker 1] 2,3"]


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="workers=0"):
        run("", workers=0)
