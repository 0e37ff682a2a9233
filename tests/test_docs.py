"""The manual: its programs run, its commands exist, and no public name is missing."""

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import typer

from keras_sa.layers import registry
from keras_sa.scripts.checks import guide_pictures
from keras_sa.scripts.main import app
from keras_sa.study.ablations import ABLATED

ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PUBLIC = (
    "data",
    "layers",
    "recipes",
    "serving",
    "study",
    "training",
    "utils",
    "visualization",
    "weights",
)


def blocks(page, language):
    return re.findall(rf"```{language}\n(.+?)```", page.read_text(), re.S)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A working folder with photos of three classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(8):
            image = rng.integers(0, 255, (40, 48, 3)).astype("uint8")
            tf.io.write_file(str(folder / f"{number}.png"), tf.io.encode_png(image))


def commands(page):
    """The `keras-sa` commands of a page, as their words."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.split("&&")[-1].strip()
            if line.startswith("keras-sa "):
                words = shlex.split(line, comments=True)[1:]
                yield words[: words.index("&")] if "&" in words else words
    if page.name == "commands.md":
        for line in re.findall(r"`keras-sa ([^`]+)`", page.read_text()):
            yield shlex.split(line)


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_runs_from_top_to_bottom(guide, photos, monkeypatch):
    pytest.importorskip(
        "matplotlib", reason="pip install 'keras-sa[visualization]' draws the pictures"
    )
    # Without what other tests of this process have registered.
    known = {k: v for k, v in registry.ATTENTIONS.items() if k != ABLATED}
    monkeypatch.setattr(registry, "ATTENTIONS", known)
    names = {}
    for code in blocks(guide, "python"):
        exec(compile(code, str(guide), "exec"), names)


def parse(words):
    """Fails where there is no such command or option."""
    command = typer.main.get_command(app)
    context = command.make_context("keras-sa", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_of_a_page_exists_with_its_options(page):
    for words in commands(page):
        parse(words)


def test_the_commands_that_draw_the_guides_exist_and_their_pictures_are_shown():
    for command in guide_pictures.COMMANDS:
        parse(command.split())
    shown = {
        (page.parent / link).resolve()
        for page in GUIDES
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    }
    drawn = set(guide_pictures.PICTURES.values())
    assert drawn <= shown
    assert {path for path in shown if path.parent == guide_pictures.IMAGES} <= drawn
    # They are read on slow connections, too.
    assert all(path.stat().st_size < 350_000 for path in shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_files_that_a_page_links_to_exist(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_readme_is_read_in_one_go():
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_commands_are_found_in_the_pages():
    assert sum(len(list(commands(page))) for page in PAGES) > 40


@pytest.mark.parametrize("room", PUBLIC)
def test_the_manual_has_every_public_name(room):
    module = importlib.import_module(f"keras_sa.{room}")
    page = (ROOT / "docs" / "api" / f"{room}.md").read_text()
    documented = set(re.findall(r"^(?:::: .+\.|## `)(\w+)", page, re.M))
    assert not set(module.__all__) - documented
