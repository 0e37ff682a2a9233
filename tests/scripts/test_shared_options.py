"""Results go where they should, and a wrong place is told before the work."""

import json
import os

import pytest
import typer
from typer.testing import CliRunner

from keras_sa.scripts.shared_options import JsonLines
from keras_sa.scripts.shared_options import Picture
from keras_sa.scripts.shared_options import write_json_lines

ROWS = [{"file": "é.jpg", "objects": []}, {"file": "b", "objects": [1]}]


def run(*arguments):
    """A command that writes rows, and whether it came to its work."""
    app, worked = typer.Typer(), []

    @app.command()
    def command(output: JsonLines = None, picture: Picture = None):
        worked.append(output)
        if output is not None:
            write_json_lines(output, ROWS)

    return CliRunner().invoke(app, list(map(str, arguments))), bool(worked)


def test_the_folder_is_made_before_the_work(tmp_path):
    path = tmp_path / "new" / "folder" / "found.jsonl"
    result, worked = run("--output", path)
    assert result.exit_code == 0 and worked
    assert list(map(json.loads, path.read_text().splitlines())) == ROWS


def test_a_dash_is_the_standard_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, _ = run("--output", "-")
    assert list(map(json.loads, result.stdout.splitlines())) == ROWS
    assert not list(tmp_path.iterdir())


def test_a_pipe_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Both ends at once, so that neither waits for the other.
    reader = os.open(pipe, os.O_RDWR)
    assert run("--output", pipe)[0].exit_code == 0
    assert len(os.read(reader, 1000).splitlines()) == 2 and pipe.is_fifo()
    os.close(reader)


@pytest.mark.parametrize("place", ["folder", "file/found.jsonl", "closed/found.jsonl"])
def test_a_wrong_place_is_told_first(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for name in ("folder", "closed"):
        (tmp_path / name).mkdir()
    # Root may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "closed")
    result, worked = run("--output", tmp_path / place)
    assert result.exit_code == 2 and not worked


@pytest.mark.parametrize("place", ["seen.jpg", "-", "file/seen.png"])
def test_a_picture_that_can_not_be_written_is_told_first(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    result, worked = run("--picture", place)
    assert result.exit_code == 2 and not worked


def test_without_it_there_is_nothing_to_write():
    result, worked = run()
    assert result.exit_code == 0 and worked and not result.output
