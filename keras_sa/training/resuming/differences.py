"""In what two trainings differ, in words."""

import json
from typing import Any


def differences(before: dict, now: dict) -> list[str]:
    """What has changed between two descriptions of a training.

    Args:
        before: JSON-able, in any depth.
        now: Likewise. A name that one of them lacks counts as `None` there.

    Returns:
        A text for each value that is not the same, such as `"seed was 0, now 1"`, in
        the order of their names.
    """
    before, now = _flat(before), _flat(now)
    return [
        f"{name} was {_short(before.get(name))}, now {_short(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _flat(described, prefix=""):
    values: dict[str, Any] = {}
    for key, value in described.items():
        if isinstance(value, dict):
            values |= _flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def _short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
