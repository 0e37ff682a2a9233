"""Rooms keep their walls: who may import whom, and where private interfaces are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground floor up; a room imports from floors below its own alone.
FLOORS = (
    ("first_import", "xla_cache"),
    ("keras_hooks", "layers", "saved_classes"),
    ("utils",),
    ("data", "weights", "training"),
    ("detection", "visualization", "study"),
    ("serving", "recipes"),
    ("applications",),
    ("scripts",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(
    path
    for folder in ("keras_sa", "applications", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)


def room_of(path):
    parts = path.relative_to(ROOT).parts
    return parts[1].removesuffix(".py") if parts[0] == "keras_sa" else parts[0]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "keras_sa"
        ):
            rest = node.module.split(".")[1:2]
            yield from rest or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("keras_sa."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("room", FLOOR)
def test_imports_run_downward(room):
    for path in FILES:
        if room_of(path) == room:
            for other in set(imported_rooms(path)) - {room}:
                assert FLOOR[other] < FLOOR[room], f"{path} imports {other}"


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} - {"__init__"} == set(FLOOR)


def test_a_folder_holds_what_a_person_takes_in():
    folders = {path.parent for path in FILES}
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    assert max(sizes.values()) <= 20, sizes


def private_attributes(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            if ast.unparse(node.value) not in ("self", "cls", "super()"):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and re.match(
            r"keras\.src|tensorflow\.python", node.module or ""
        ):
            yield node.module


def test_keras_private_interface_is_touched_in_one_room():
    for path in FILES:
        if room_of(path) not in ("keras_hooks", "scripts"):
            assert not list(private_attributes(path)), path
