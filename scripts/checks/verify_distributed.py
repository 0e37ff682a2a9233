"""Shows that training on several devices gives the result of one device.

Trains a small network in many ways with plain Keras on one device, with
`keras_sa.training.prepare` on 1, 2 and 4 replicas of one process, and on 2 worker
processes, and compares the final weights, the evaluation and the predictions. All that
without XLA, with XLA where batch norms sum over the replicas in the middle of a step,
and with group norms, where XLA compiles a whole step.
"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts.checks.distributed_cases import CASES
from keras_sa.scripts.checks.distributed_cases import LIMITS
from keras_sa.scripts.checks.distributed_cases import difference
from keras_sa.scripts.checks.distributed_cases import train

WORKERS = "2 workers"
# What XLA compiles, and the arguments of `train`.
XLA = {
    "nothing": {},
    "between sums": {"xla": True},
    "whole steps": {"xla": True, "group_norms": True},
}
KINDS = list(XLA)


def verify_distributed(
    only: Annotated[
        list[str] | None, typer.Option(help="Only the modes with this in their name.")
    ] = None,
    workers: Annotated[
        bool, typer.Option(help="Also train on 2 worker processes.")
    ] = True,
    float64: Annotated[
        bool, typer.Option(help="Also in float64, where rounding hides nothing.")
    ] = False,
    xla: Annotated[
        list[str], typer.Option(help="What XLA compiles; each is tried.")
    ] = KINDS,
    csv: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
    worker_directory: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Compares training on many devices with training on one.

    Prints the largest relative difference for every mode and exits with 1 if one is
    over its limit.
    """
    from keras_sa.scripts.benchmarks.report import report

    names = [name for name in CASES if not only or any(part in name for part in only)]
    if not names:
        raise typer.BadParameter(f"no mode has {only} in its name: {list(CASES)}")
    if not set(xla) <= set(XLA):
        raise typer.BadParameter(f"--xla must be of {list(XLA)}, not {list(xla)}")
    runs = list(_runs(names, float64, xla))
    if worker_directory is not None:
        _run_worker(runs, worker_directory)
        return
    with tempfile.TemporaryDirectory() as directory:
        if workers:
            _launch_workers(only or [], float64, Path(directory), xla)
        rows = _compare(runs, Path(directory) if workers else None)
    report("Largest relative difference to plain Keras on one device", rows, csv)
    wrong = [row for row in rows if row["verdict"] != "right"]
    print(f"{len(rows) - len(wrong)} of {len(rows)} rows within their limits")
    raise typer.Exit(bool(wrong))


def _runs(names, float64, xla):
    """Mode, what XLA compiles, case and dtype of every training."""
    for compiled in xla:
        for name in names:
            case = CASES[name]
            yield name, compiled, case, "float32"
            if float64 and not case.policy:
                yield name, compiled, case, "float64"


def _compare(runs, worker_directory):
    from keras_sa.training import make_strategy

    single = make_strategy("single")
    strategies = {
        f"{n} replica{'s' * (n > 1)}": make_strategy("mirrored", replicas=n)
        # The CPU is cut into as many devices as the first one needs.
        for n in (4, 2, 1)
    }
    rows = []
    for number, (name, compiled, case, dtype) in enumerate(runs):
        reference = train(case, single, False, dtype, **XLA[compiled])
        found = {}
        for column in reversed(strategies):
            result = train(case, strategies[column], True, dtype, **XLA[compiled])
            found[column] = difference(result, reference)
        if worker_directory is not None and case.workers:
            result = _load(worker_directory / f"{number}.npz")
            found[WORKERS] = difference(result, reference)
        limit = LIMITS["mixed" if case.policy else dtype] * case.rounding
        row = {
            "mode": name,
            "precision": case.policy or dtype,
            "XLA compiles": compiled,
            **{
                column: f"{found[column]:.1e}" if column in found else "-"
                for column in (*reversed(strategies), WORKERS)
            },
            "limit": f"{limit:.0e}",
            "verdict": "right" if max(found.values()) <= limit else "over",
        }
        # Each takes a while; the whole table comes at the end.
        print(*row.values(), sep=", ", flush=True)
        rows.append(row)
    return rows


def _launch_workers(only, float64, directory, xla=("nothing",)):
    from keras_sa.training.cluster.launch import launch

    command = [sys.executable, __file__, "--worker-directory", str(directory)]
    if float64:
        command.append("--float64")
    command += (part for each in xla for part in ("--xla", each))
    lines: list[str] = []
    code = launch(
        [*command, *(part for each in only for part in ("--only", each))],
        workers=2,
        write=lines.append,
    )
    if code:
        print("\n".join(lines), file=sys.stderr)
        raise typer.Exit(code)


def _run_worker(runs, directory):
    from keras_sa.training import make_strategy
    from keras_sa.training.cluster.strategy import is_chief

    strategy = make_strategy("multi_worker")
    for number, (_, compiled, case, dtype) in enumerate(runs):
        if not case.workers:
            continue
        result = train(case, strategy, True, dtype, **XLA[compiled])
        if is_chief(strategy):
            _save(directory / f"{number}.npz", result)


def _save(path, result):
    import numpy as np

    weights = {f"weights/{i}": each for i, each in enumerate(result["weights"])}
    np.savez(
        path,
        evaluation=result["evaluation"],
        predictions=result["predictions"],
        **weights,
    )


def _load(path):
    import numpy as np

    arrays = dict(np.load(path))
    count = sum(key.startswith("weights/") for key in arrays)
    return {
        "weights": [arrays[f"weights/{i}"] for i in range(count)],
        "evaluation": arrays["evaluation"],
        "predictions": arrays["predictions"],
    }


if __name__ == "__main__":
    typer.run(verify_distributed)
