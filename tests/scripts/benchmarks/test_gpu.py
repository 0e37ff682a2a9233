"""`keras-sa benchmark gpu`, which runs on a CPU with small sizes."""

import csv
import json

import pytest
from command_line import run
from typer.testing import CliRunner

from keras_sa.scripts.benchmarks import gpu
from keras_sa.scripts.benchmarks import gpu_measurements
from keras_sa.scripts.main import app


def test_every_measurement_has_a_title_of_its_own():
    for quick in (True, False):
        titles = [
            job.title for job in gpu.jobs(list(gpu.PARTS), quick, 50, 128, 224, 10)
        ]
        assert len(titles) == len(set(titles))


def test_ratios_are_of_what_was_measured():
    def row(job, images):
        return {"measured": job.title, "batch": 128, "images/s": images}

    jobs = gpu.jobs(["torch", "training"], True, 50, 128, 224, 10)
    speeds = {job.title: 100.0 * (i + 1) for i, job in enumerate(jobs)}
    lines = gpu.ratios([row(job, speeds[job.title]) for job in jobs])
    ours, alone = "training: sa, bfloat16, compiled, mirrored", "training: sa, bfloat16"
    ratio = speeds[ours] / speeds[f"{alone}, compiled"]
    assert f"fit under mirrored / the compiled step: {ratio:.2f}" in lines[0]
    assert len(lines) == 4
    assert gpu.ratios([]) == []


def test_a_failure_is_a_row(capsys):
    job = gpu.Measurement("no_such", {"network": "sa", "precision": "float32"})
    (row,) = gpu._run(job, limit=100.0)
    assert row["result"] == "failed: exit 1"
    assert "no_such" in capsys.readouterr().err


def test_an_unknown_part_is_refused():
    result = CliRunner().invoke(app, ["benchmark", "gpu", "--part", "all"])
    assert result.exit_code == 2
    assert "a part is one of" in result.output


@pytest.mark.slow
def test_small_sizes_on_a_cpu(tmp_path):
    pytest.importorskip("torch", reason="needs torch: pip install 'keras-sa[torch]'")
    path = tmp_path / "gpu.csv"
    options = "--quick --part torch --part inference --batch 2 --size 32 --steps 1"
    run("benchmark", "gpu", *options.split(), "--csv", str(path))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {row["result"] for row in rows} == {"measured"}
    assert all(float(row["images/s"]) > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [None, "mirrored"])
def test_a_training_is_measured(strategy):
    row = gpu_measurements.train_tensorflow(
        "sa", "float32", True, strategy, depth=50, batch=4, size=32, steps=1
    )
    assert row["images/s"] == pytest.approx(4 / (row["ms"] / 1e3))
    json.dumps(row)
