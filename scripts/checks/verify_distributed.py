"""Shows that training on several devices gives the result of one device.

Trains a small network in many ways with plain Keras on one device, with
`keras_sa.training.prepare` on 1, 2 and 4 replicas of one process, and on 2 worker
processes, each also with XLA in every replica, and compares the final weights, the
evaluation and the predictions. With XLA the network has group norms.
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
XLA = ", XLA"


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
    xla: Annotated[bool, typer.Option(help="Also with XLA in every replica.")] = True,
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
    runs = list(_runs(names, float64))
    if worker_directory is not None:
        _run_worker(runs, worker_directory, xla)
        return
    with tempfile.TemporaryDirectory() as directory:
        if workers:
            _launch_workers(only or [], float64, Path(directory), xla)
        rows = _compare(runs, Path(directory) if workers else None, xla)
    report("Largest relative difference to plain Keras on one device", rows, csv)
    wrong = [row for row in rows if row["verdict"] != "right"]
    print(f"{len(rows) - len(wrong)} of {len(rows)} rows within their limits")
    raise typer.Exit(bool(wrong))


def _runs(names, float64):
    """Mode, case and dtype of every training."""
    for name in names:
        case = CASES[name]
        yield name, case, "float32"
        if float64 and not case.policy:
            yield name, case, "float64"


def _compare(runs, worker_directory, xla):
    from keras_sa.training import make_strategy

    single = make_strategy("single")
    strategies = {
        f"{n} replica{'s' * (n > 1)}": make_strategy("mirrored", replicas=n)
        # The CPU is cut into as many devices as the first one needs.
        for n in (4, 2, 1)
    }
    rows = []
    for number, (name, case, dtype) in enumerate(runs):
        found = {}
        for suffix in _suffixes(xla):
            reference = train(case, single, False, dtype, xla=bool(suffix))
            for column in reversed(strategies):
                result = train(case, strategies[column], True, dtype, xla=bool(suffix))
                found[column + suffix] = difference(result, reference)
            if worker_directory is not None and case.workers:
                result = _load(worker_directory / f"{number}{suffix}.npz")
                found[WORKERS + suffix] = difference(result, reference)
        limit = LIMITS["mixed" if case.policy else dtype]
        cells = {
            column + suffix: f"{found[column + suffix]:.1e}"
            if column + suffix in found
            else "-"
            for suffix in _suffixes(xla)
            for column in (*reversed(strategies), WORKERS)
        }
        row = {
            "mode": name,
            "precision": case.policy or dtype,
            **cells,
            "limit": f"{limit:.0e}",
            "verdict": "right" if max(found.values()) <= limit else "over",
        }
        # Each takes a while; the whole table comes at the end.
        print(*row.values(), sep=", ", flush=True)
        rows.append(row)
    return rows


def _suffixes(xla):
    """Of the columns without and with XLA."""
    return ("", XLA) if xla else ("",)


def _launch_workers(only, float64, directory, xla=False):
    from keras_sa.training.cluster.launch import launch

    command = [sys.executable, __file__, "--worker-directory", str(directory)]
    if float64:
        command.append("--float64")
    command.append("--xla" if xla else "--no-xla")
    lines = []
    code = launch(
        [*command, *(part for each in only for part in ("--only", each))],
        workers=2,
        write=lines.append,
    )
    if code:
        print("\n".join(lines), file=sys.stderr)
        raise typer.Exit(code)


def _run_worker(runs, directory, xla):
    from keras_sa.training import make_strategy
    from keras_sa.training.cluster.strategy import is_chief

    strategy = make_strategy("multi_worker")
    for number, (_, case, dtype) in enumerate(runs):
        for suffix in _suffixes(xla) if case.workers else ():
            result = train(case, strategy, True, dtype, xla=bool(suffix))
            if is_chief(strategy):
                _save(directory / f"{number}{suffix}.npz", result)


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
