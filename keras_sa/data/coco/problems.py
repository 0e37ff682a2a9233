"""What happens with annotations that can't be used."""

import json
from collections import Counter
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

from keras_sa.utils.files import write_atomically

# How many entries of each kind an error names.
NAMED = 3


@dataclass(frozen=True)
class Problem:
    """An entry that can't be used.

    Args:
        kind: What is wrong in general, such as "unknown category".
        entry: Where it is, such as "annotations[17] (id 18)".
        reason: What was found there.
    """

    kind: str
    entry: str
    reason: str


class Problems:
    """Collects entries that can't be used, and refuses them or reports them.

    Args:
        file: The file they are in.
        skip: `False`: they are an error. `True`: what is left of them is used.
        report: With `skip`, a file that lists them, one JSON object a line.
    """

    def __init__(
        self, file: str | Path, skip: bool = False, report: str | Path | None = None
    ):
        if report is not None and not skip:
            raise ValueError(
                "A report of bad annotations is only written where they are skipped. "
                f"Received: skip_bad=False, report={str(report)!r}"
            )
        self.file = str(file)
        self.skip = skip
        self.report = None if report is None else Path(report)
        self.found: list[Problem] = []

    def add(self, kind: str, entry: str, reason: str) -> None:
        self.found.append(Problem(kind, entry, reason))

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return dict(Counter(problem.kind for problem in self.found))

    def settle(self) -> None:
        """Says what was found.

        Raises:
            ValueError: If something was and may not be skipped.
        """
        if self.found and not self.skip:
            raise ValueError(
                f"{self.file!r} has {len(self.found)} entries that can't be used: "
                f"{self._described()}. With `skip_bad=True` (`--skip-bad`) boxes are "
                "clipped, bad parts left out, and what can't be trained is ignored."
            )
        if self.report is not None:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(asdict(problem)) + "\n" for problem in self.found]
            write_atomically(self.report, "".join(lines))

    def _described(self):
        parts = []
        for kind, count in self.counts.items():
            first = [p for p in self.found if p.kind == kind][:NAMED]
            named = "; ".join(f"{p.entry}: {p.reason}" for p in first)
            parts.append(f"{count} x {kind} ({named}{', ...' * (count > NAMED)})")
        return ", ".join(parts)
