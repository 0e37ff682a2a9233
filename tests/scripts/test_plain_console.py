"""Tables fit the terminal, and no name is cut or broken, piped or not."""

import pytest

from keras_sa.scripts.plain_console import print_rows

TIMES = [
    {
        "measured": f"ONNX Runtime, batch {batch}, against Keras",
        "variant": variant,
        "median": "1234.5 ms",
        "minimum": "1200.0 ms",
        "median ratio": "1.000",
        "ratio of minima": "1.000",
    }
    for batch in (1, 8)
    for variant in ("keras.applications.ResNet50", "no attention", "SA")
]
FILES = [
    {"file": f"photos/{'a' * 90}/[red] {number}.jpg", "class": "cat"}
    for number in range(2)
]


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_benchmarks_fit(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    print_rows(TIMES, "ResNet-50", "x86_64, 2 cores")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for row in TIMES:
        for value in row.values():
            assert any(value in line for line in lines), value


@pytest.mark.parametrize("columns", [None, 80])
def test_names_of_files_stay_whole(columns, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", str(columns))
    print_rows(FILES)
    output = capsys.readouterr().out
    for row in FILES:
        assert row["file"] in output


def test_what_fits_is_one_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_rows([{"name": "a", "top-1": "1"}, {"name": "b", "top-1": "2"}], "Title")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert "Title" in lines[0]
