"""The runs of a study in a CSV file, so that it goes on where it was stopped."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_sa.utils.files import replacing


class RunTable:
    """Runs that have been done, in `runs.csv`, with what they share, `settings.json`.

    Args:
        directory: Where the two files are. Made if missing.
        settings: What all runs have in common, as JSON has it. A directory with other
            settings is refused: its runs could not be compared.
        columns: Of the CSV file.

    Raises:
        ValueError: If the directory holds runs with other settings, or a file that
            is not a table of these columns.
    """

    def __init__(
        self, directory: str | Path, settings: dict[str, Any], columns: Sequence[str]
    ) -> None:
        self.directory = Path(directory)
        self.columns = tuple(columns)
        self.path = self.directory / "runs.csv"
        self._check_settings(settings)
        self.rows = self._read()

    def add(self, row: dict[str, Any]) -> None:
        """Adds a run; a kill at any moment leaves the old or the new file."""
        self.rows.append({name: str(row[name]) for name in self.columns})
        with replacing(self.path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def _check_settings(self, settings):
        path = self.directory / "settings.json"
        # As it would be read back.
        settings = json.loads(json.dumps(settings))
        # Without a run there is nothing that the settings have to fit.
        if path.is_file() and self.path.is_file():
            found = json.loads(path.read_text())
            names = sorted(found.keys() | settings.keys())
            other = [name for name in names if found.get(name) != settings.get(name)]
            if other:
                raise ValueError(
                    f"{str(self.directory)!r} holds runs with other settings. Use "
                    "another directory, or the settings "
                    f"{ {name: found.get(name) for name in other} }. "
                    f"Received: { {name: settings.get(name) for name in other} }"
                )
            return
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n")

    def _read(self):
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            found = tuple(reader.fieldnames or ())
            rows = list(reader)
        if found != self.columns or any(
            None in row or None in row.values() for row in rows
        ):
            raise ValueError(
                f"{str(self.path)!r} is not a table with the columns "
                f"{list(self.columns)}. Received: {list(found)} and {len(rows)} rows"
            )
        return rows
