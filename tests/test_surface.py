"""What users need is exported where the manual looks for it."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import keras_sa

ROOT = Path(keras_sa.__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("recipes", ("get_recipe", "load_trained", "load_detector")),
        ("detection", ("COCOMetrics", "evaluate")),
        ("serving", ("predict_rest", "predict_grpc")),
    ],
)
def test_names_are_exported(module, names):
    found = importlib.import_module(f"keras_sa.{module}")
    for name in names:
        assert name in found.__all__
        assert not inspect.ismodule(getattr(found, name))


def test_the_citation_has_the_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"version: {keras_sa.__version__}\n" in text


def test_tests_that_the_security_policy_names_exist():
    text = (ROOT / "SECURITY.md").read_text()
    for path in re.findall(r"`((?:tests|scripts)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
