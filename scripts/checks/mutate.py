"""Do the tests notice small mistakes? A sample of mutants, each against its tests.

    python scripts/checks/mutate.py --output results/mutation/mutants.csv

A mutant is a copy of the checkout with one small change of one module
(`scripts/checks/mutants.py`). The default tests of its room run on it until one
fails, in a process that begins with TensorFlow loaded. Called again it goes on.
"""

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

if __package__:
    from keras_sa.scripts.checks.mutants import mutants_of
else:
    from mutants import mutants_of  # type: ignore[no-redef]

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("layers", "training", "weights", "data", "serving/fusion", "detection")
COLUMNS = ("file", "line", "start", "instead", "result", "seconds")
OPTIONS = "addopts=--import-mode=importlib --strict-markers -m 'not slow'"


def mutate(
    output: Annotated[Path, typer.Option(help="The table, a CSV file.")],
    count: Annotated[int, typer.Option(help="Of mutants.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    timeout: Annotated[int, typer.Option(help="Seconds for one mutant.")] = 120,
    rooms: Annotated[
        list[str] | None,
        typer.Option("--room", help="A folder of keras_sa; several times."),
    ] = None,
) -> None:
    """Draws mutants of the rooms in turn and writes which of them were noticed."""
    # As tests/conftest.py does, which comes too late here.
    os.environ.update(
        TF_CPP_MIN_LOG_LEVEL="3",
        TF_ENABLE_ONEDNN_OPTS="1",
        KERAS_BACKEND="tensorflow",
        MPLBACKEND="agg",
        PYTHONDONTWRITEBYTECODE="1",
    )
    output = output.resolve()
    known = {}
    if output.exists():
        with output.open(newline="") as file:
            known = {
                (row["file"], row["start"], row["instead"]): row
                for row in csv.DictReader(file)
            }
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder)
        files = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
        for name in files.splitlines():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name, follow_symlinks=False)
        os.environ["PYTHONPATH"] = folder
        sys.path.insert(0, folder)
        os.chdir(folder)
        import keras  # noqa: F401
        import tensorflow  # noqa: F401

        rows = []
        passed = set()
        for room, path, mutant in sample(checkout, rooms or ROOMS, count, seed):
            name = str(path.relative_to(checkout))
            row = known.get((name, str(mutant.start), mutant.text))
            if row is None:
                tests = tests_of(name, room)
                if tuple(tests) not in passed:
                    if run_tests(tests, 10 * timeout) != "survived":
                        raise RuntimeError(f"Without a mutant {tests} don't pass.")
                    passed.add(tuple(tests))
                begun = time.monotonic()
                source = path.read_text()
                path.write_text(mutant.applied(source))
                result = run_tests(tests, timeout)
                path.write_text(source)
                seconds = round(time.monotonic() - begun)
                values = (name, mutant.line, mutant.start, mutant.text, result, seconds)
                row = dict(zip(COLUMNS, values, strict=True))
            rows.append(row)
            typer.echo(" ".join(str(row[column]) for column in COLUMNS))
            with output.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    results = [row["result"] for row in rows]
    typer.echo(
        f"{results.count('noticed')} of {len(rows)} mutants were noticed, "
        f"{results.count('survived')} survived, {results.count('timeout')} ran too long"
    )


def sample(checkout: Path, rooms: Sequence[str], count: int, seed: int) -> list:
    """Room, file and mutant, as many of each room; no two of one line."""
    generator = random.Random(seed)
    drawn = []
    for index, room in enumerate(rooms):
        places: dict[tuple[Path, int], list] = {}
        for path in sorted((checkout / "keras_sa" / room).rglob("*.py")):
            for mutant in mutants_of(path.read_text()):
                places.setdefault((path, mutant.line), []).append((path, mutant))
        share = count // len(rooms) + (index < count % len(rooms))
        lines = generator.sample(list(places.values()), min(share, len(places)))
        drawn += [(room, *generator.choice(line)) for line in lines]
    return drawn


def tests_of(name: str, room: str) -> list[str]:
    """A room's tests: first those of the module's name, then those of its folder."""
    module = Path(name)
    folder = str(Path("tests", *module.parent.parts[1:]))
    files = sorted(str(path) for path in Path("tests", room).rglob("test_*.py"))
    return sorted(
        files, key=lambda file: (module.stem not in file, not file.startswith(folder))
    )


def run_tests(files: list[str], timeout: float) -> str:
    """`"survived"`, `"noticed"`, or `"timeout"` after as many seconds."""
    child = os.fork()
    if not child:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(silence, descriptor)
        import pytest

        plugins = ["-p", "no:cacheprovider", "-p", "no:xdist"]
        os._exit(int(pytest.main(["-x", "-q", *plugins, "-o", OPTIONS, *files])))
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return "noticed" if status else "survived"
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


if __name__ == "__main__":
    typer.run(mutate)
