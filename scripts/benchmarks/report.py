"""What every benchmark prints and writes: the machine, the times, the ratios."""

import csv
import platform
import statistics
from importlib import metadata
from pathlib import Path

from keras_sa.scripts.benchmarks.timing import median_ratio
from keras_sa.scripts.plain_console import print_rows
from keras_sa.utils.cpu_count import cpu_count

PACKAGES = ("tensorflow", "keras", "numpy")


def machine() -> str:
    """One line about what the figures were measured on."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    count = cpu_count()
    cores = "1 core" if count == 1 else f"{count} cores"
    return f"{platform.machine()}, {cores}, {platform.system()}; {versions}"


def timing_rows(
    what: str, times: dict[str, list[float]], reference: str
) -> list[dict[str, str]]:
    """A row for each name: median and minimum in ms, ratios to the reference."""
    return [
        {
            "measured": what,
            "variant": name,
            "median": f"{1e3 * statistics.median(values):.1f} ms",
            "minimum": f"{1e3 * min(values):.1f} ms",
            "median ratio": f"{median_ratio(values, times[reference]):.3f}",
            "ratio of minima": f"{min(values) / min(times[reference]):.3f}",
        }
        for name, values in times.items()
    ]


def report(title: str, rows: list[dict[str, str]], csv_path: Path | None) -> None:
    """Prints the rows as a table and writes them as CSV if a path is given."""
    print_rows(rows, title, machine())
    if csv_path is not None:
        csv_path.parent.mkdir(parents=True, exist_ok=True)
        with csv_path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "machine"])
            writer.writeheader()
            writer.writerows({**row, "machine": machine()} for row in rows)
        print(f"written: {csv_path}")
