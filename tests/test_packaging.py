"""The package installs from a wheel made of the sdist and imports anywhere."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import keras_sa

ROOT = Path(keras_sa.__file__).resolve().parents[1]
PROGRAM = """
from keras_sa.applications import SAResNet50
import keras_sa, keras_sa.applications, keras_sa.scripts.main
print(keras_sa.__file__, keras_sa.applications.__file__, SAResNet50.__name__)
"""


def run(*command, **kwargs):
    return subprocess.run(
        [str(part) for part in command],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
        **kwargs,
    ).stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """An sdist of the checkout and the wheel that is built from it alone."""
    if not (ROOT / "setup.py").is_file():
        pytest.skip("keras_sa is installed, not a checkout: nothing to build from")
    folder = tmp_path_factory.mktemp("dist")
    # The checkout's own state is what git tracks, not build leftovers.
    source = folder / "source"
    run("git", "clone", "--quiet", ROOT, source)
    run(sys.executable, "-m", "build", "--outdir", folder, source)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.mark.slow
def test_archives_hold_the_whole_package(archives):
    sdist, wheel = archives
    tracked = run("git", "-C", ROOT, "ls-files", "*.py").split()
    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        shipped = {name.split("/", 1)[-1] for name in archive.getnames()}
    for path in tracked:
        if path.startswith("scripts/checks/"):
            assert f"keras_sa/{path}" not in installed
        elif path.startswith("keras_sa/"):
            assert path in installed and path in shipped
        elif path.startswith(("applications/", "scripts/")):
            assert f"keras_sa/{path}" in installed and path in shipped
    assert not [name for name in installed if name.startswith(("tests", "scripts/"))]


@pytest.mark.slow
def test_a_package_index_shows_no_link_to_a_file_that_it_lacks(archives):
    with zipfile.ZipFile(archives[1]) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        text = archive.read(name).decode().split("\n\n", 1)[1]
    assert "](https://arxiv.org/abs/2102.00240)" in text
    assert not re.findall(r"!\[|\]\((?!https?:)", text)
    # Where the manual is said instead.
    paths = re.findall(r"`((?:docs|results)/[^`]+|[A-Z]+\.md)`", text)
    assert "docs/guides/serving.md" in paths and "results/serving" in paths
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.slow
def test_wheel_imports_in_a_clean_environment(archives, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    # The dependencies are lent by this environment: the wheel itself is under test,
    # and TensorFlow alone is 2 GB.
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", archives[1])
    lent = [path for path in sys.path if path.endswith("site-packages")]
    Path(site, "lent.pth").write_text("\n".join(lent))
    output = run(python, "-I", "-c", PROGRAM, cwd=tmp_path)
    package, applications, name = output.split()
    assert Path(package) == Path(site, "keras_sa", "__init__.py")
    assert Path(applications).parent == Path(site, "keras_sa", "applications")
    assert name == "SAResNet50"


@pytest.mark.slow
def test_imports_from_the_checkout(tmp_path):
    if not (ROOT / "setup.py").is_file():
        pytest.skip("keras_sa is installed, not a checkout")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for folder in (ROOT, tmp_path):
        output = run(sys.executable, "-c", PROGRAM, cwd=folder, env=environment)
        assert Path(output.split()[1]) == ROOT / "applications" / "__init__.py"


@pytest.mark.slow
def test_importing_the_networks_costs_little_more_than_keras():
    # Counts modules, not seconds: what is imported is what costs.
    program = (
        "import sys, keras; before = set(sys.modules);"
        "import keras_sa.applications; print(*sorted(set(sys.modules) - before))"
    )
    modules = run(sys.executable, "-c", program, cwd=ROOT).split()
    heavy = ("matplotlib", "PIL", "sklearn", "rich", "typer", "safetensors", "torch")
    assert not [name for name in modules if name.split(".")[0] in heavy]
    assert len([name for name in modules if not name.startswith("keras_sa")]) < 30
