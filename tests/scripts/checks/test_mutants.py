"""Mutants are programs, each changed in one place."""

import ast
from pathlib import Path

import pytest

import keras_sa
from keras_sa.scripts.checks.mutants import mutants_of

ROOT = Path(keras_sa.__file__).parent


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("x = (a + b) * c", ["x = (a - b) * c", "x = (a + b) / c"]),
        ("x = a < b", ["x = a <= b"]),
        ("x = a and b", ["x = a or b"]),
        ("x = not a", ["x = (a)"]),
        ("x = f(True)", ["x = f(False)"]),
        ("x += a", ["pass"]),
        ("f(b=c, d=e)", ["f(d=e)", "pass", "f(b=c, )"]),
        ("if a:\n    f()", ["if (not (a)):\n    f()", "if a:\n    pass"]),
        ("x = 'ä', b + c", ["x = 'ä', b - c"]),
        ('"""A text."""', []),
        ('raise ValueError("a" + b)', ["pass"]),
        ("@d(1)\ndef f(a: int): return a", ["@d(1)\ndef f(a: int): return None"]),
    ],
)
def test_every_place_is_changed_once(source, changed):
    found = [mutant.applied(source) for mutant in mutants_of(source)]
    assert sorted(found) == sorted(changed)


@pytest.mark.parametrize(
    "module", ["detection/matching.py", "layers/bam.py", "training/fitting.py"]
)
def test_mutants_of_modules_are_programs_that_differ(module):
    source = (ROOT / module).read_text()
    changed = [mutant.applied(source) for mutant in mutants_of(source)]
    assert len(changed) > 10
    plain = ast.dump(ast.parse(source))
    assert all(ast.dump(ast.parse(text)) != plain for text in changed)
