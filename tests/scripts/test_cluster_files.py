"""The files for Slurm and Kubernetes, as far as they can be checked without either."""

import json
import subprocess
from pathlib import Path

from needed import needed
from typer.testing import CliRunner

from keras_sa.scripts.main import app

CLUSTER = Path(__file__).parents[2] / "scripts" / "cluster"
SLURM = CLUSTER / "train.slurm"


def manifests():
    yaml = needed("yaml")
    return list(yaml.safe_load_all((CLUSTER / "train.yaml").read_text()))


def run_with(script, tmp_path, *arguments, **environment):
    """Runs a bash script in which `keras-sa` and `srun` tell how they were called."""
    for name in ("keras-sa", "srun", "scontrol"):
        tool = tmp_path / name
        tool.write_text(
            f'#!/bin/bash\necho "$TF_CONFIG"\nprintf "%s\\n" {name} "$@"\n'
            + ("exit 75\n" if name == "srun" else "")
        )
        tool.chmod(0o755)
    return subprocess.run(
        ["bash", "-e", "-c", script, "bash", *arguments],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def known_options(words):
    """Whether `keras-sa train` has all options of a command line."""
    options = [word for word in words if word.startswith("--")]
    told = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    return [option for option in options if option not in told]


def test_slurm_script_trains_and_is_queued_again(tmp_path):
    subprocess.run(["bash", "-n", SLURM], check=True)
    found = run_with(
        SLURM.read_text().replace("set -u", "set +e -u"),
        tmp_path,
        *("sa_resnet50_imagenet", "tfds:imagenet2012", "runs"),
        SLURM_JOB_ID="17",
    )
    words = found.stdout.split()
    assert words[0] == "srun"
    command = words[words.index("keras-sa") : words.index("scontrol")]
    assert command[1] == "train"
    assert known_options(command) == []
    assert words[-3:] == ["scontrol", "requeue", "17"]
    assert found.returncode == 75
    assert "not run" in SLURM.read_text()


def test_kubernetes_job_names_its_workers(tmp_path):
    service, job = manifests()
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (script,) = container["args"]
    found = run_with(script, tmp_path, JOB_COMPLETION_INDEX="2")
    assert found.returncode == 0, found.stderr
    config, rest = found.stdout.split("keras-sa\n", 1)
    config = json.loads(config)
    assert config["task"] == {"type": "worker", "index": 2}
    # An indexed job's pods are found under these names of its service.
    name, subdomain = job["metadata"]["name"], pod["subdomain"]
    port = service["spec"]["ports"][0]["port"]
    assert subdomain == service["metadata"]["name"]
    assert config["cluster"]["worker"] == [
        f"{name}-{i}.{subdomain}:{port}" for i in range(job["spec"]["completions"])
    ]
    assert service["spec"]["selector"] == {"job-name": name}
    assert known_options(rest.split()) == []
    claims = {volume["name"] for volume in pod["volumes"]}
    assert claims == {mount["name"] for mount in container["volumeMounts"]}
    assert "not run" in (CLUSTER / "train.yaml").read_text()
