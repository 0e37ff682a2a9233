"""Runs the notebooks in `examples/` and stores what they show.

    pip install nbclient ipykernel
    python scripts/checks/run_examples.py

What depends on the machine is left out: times, versions, and what TensorFlow logs.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TIMEOUT = 1800


def run_examples(
    notebooks: Annotated[
        list[Path] | None, typer.Argument(help="Files. Defaults to all.")
    ] = None,
) -> None:
    """Executes notebooks, each in a folder of its own, and writes them back."""
    import nbformat
    from nbclient import NotebookClient

    for path in notebooks or sorted(EXAMPLES.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(
                notebook,
                timeout=TIMEOUT,
                record_timing=False,
                resources={"metadata": {"path": folder}},
            ).execute()
        notebook.metadata.language_info = {"name": "python"}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [each for each in cell.outputs if not _is_log(each)]
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        print(f"written: {path}")


def _is_log(output):
    text = output.get("text", "")
    return output.get("name") == "stderr" or text.startswith("INFO:tensorflow:")


if __name__ == "__main__":
    typer.run(run_examples)
