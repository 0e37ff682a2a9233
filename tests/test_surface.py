"""What users need is exported where the manual looks for it."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import keras_sa

ROOMS = (
    "applications",
    "data",
    "data.coco",
    "detection",
    "detection.evaluation",
    "layers",
    "recipes",
    "serving",
    "study",
    "training",
    "utils",
    "visualization",
    "weights",
)
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


def public_functions(name, value):
    """The functions and methods, by name, that come with an exported name."""
    if inspect.ismodule(value):
        for each in value.__all__:
            yield from public_functions(f"{name}.{each}", getattr(value, each))
    elif inspect.isclass(value):
        for kind in value.__mro__:
            if kind.__module__.partition(".")[0] != "keras_sa":
                continue
            for each, member in vars(kind).items():
                function = getattr(member, "fget", inspect.unwrap(member))
                function = getattr(function, "__func__", function)
                public = each in ("__init__", "__call__") or not each.startswith("_")
                if public and inspect.isfunction(function):
                    yield f"{name}.{each}", function
    elif inspect.isfunction(value):
        yield name, value


@pytest.mark.parametrize("room", ROOMS)
def test_public_signatures_say_the_types(room):
    module = importlib.import_module(f"keras_sa.{room}")
    bare = []
    for exported in getattr(module, "__all__", ()):
        for name, function in public_functions(exported, getattr(module, exported)):
            signature = inspect.signature(function)
            bare += [
                f"{name}({parameter})"
                for parameter in signature.parameters.values()
                if parameter.annotation is parameter.empty
                and parameter.name not in ("self", "cls")
            ]
            if signature.return_annotation is signature.empty:
                bare.append(f"{name}() ->")
    assert not bare


def packages():
    """`keras_sa` and every package inside it, imported."""
    yield keras_sa
    for name in ("keras_sa", "applications", "scripts"):
        for path in sorted((ROOT / name).rglob("__init__.py")):
            parts = path.parent.relative_to(ROOT).parts
            if parts != ("keras_sa",) and parts[:2] != ("scripts", "checks"):
                inner = parts[1:] if parts[0] == "keras_sa" else parts
                yield importlib.import_module(".".join(("keras_sa", *inner)))


def test_a_name_is_a_module_or_something_else_but_not_both():
    # Else `import keras_sa.training.fit` gives one of the two, whichever came last.
    for package in packages():
        for module in pkgutil.iter_modules(package.__path__):
            found = getattr(package, module.name, None)
            assert found is None or inspect.ismodule(found), (package, module.name)


def test_a_public_function_is_in_a_module_of_another_name():
    for package in packages():
        for name in getattr(package, "__all__", ()):
            found = getattr(package, name)
            if inspect.isfunction(found):
                assert found.__module__.split(".")[-1] != name, found.__module__
