"""Everything that is to be known of a GPU, in one command."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from dataclasses import field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options

PARTS = ("equality", "golden", "recipe", "inference", "torch", "training")
CHECKOUT = Path(__file__).resolve().parents[2]
GOLDEN_TESTS = (
    "tests/layers/test_shuffle_attention.py",
    "tests/applications/test_sa_resnet.py",
    "tests/applications/test_training_parity.py",
)
# TensorFloat-32 rounds the factors of float32 to 10 bits.
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}


@dataclass(frozen=True)
class Measurement:
    """A function of `gpu_measurements` with arguments."""

    function: str
    arguments: dict

    @property
    def title(self) -> str:
        known = self.arguments
        words = [
            "PyTorch" if "torch" in self.function else "",
            known["network"],
            known["precision"],
            "compiled" if known.get("xla") or known.get("compiled") else "",
            "fused" if known.get("fused") else "",
            known.get("strategy") or "",
        ]
        kind = "training" if self.function.startswith("train") else "inference"
        return f"{kind}: {', '.join(word for word in words if word)}"


@dataclass(frozen=True)
class Check:
    """A command that exits with 0 if what it checks holds."""

    title: str
    command: list[str]
    environment: dict = field(default_factory=dict)


def gpu(
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only these: {', '.join(PARTS)}.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Not these.")] = None,
    quick: Annotated[
        bool, typer.Option(help="Only what the main ratios need, in bfloat16.")
    ] = False,
    depth: shared_options.Depth = 50,
    batch: shared_options.StepBatch = 128,
    size: shared_options.Side = 224,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a timed round.")] = 10,
    limit: Annotated[float, typer.Option(help="Seconds that one of them may take.")] = (
        600.0
    ),
    csv: shared_options.Csv = None,
) -> None:
    """Measures training and inference, and checks results, on a GPU.

    Every measurement is a process of its own; one that fails is a row that says so.
    Without a GPU it runs on the CPU, which takes small sizes.
    """
    from keras_sa.scripts.benchmarks.report import report

    for name in [*(part or []), *(skip or [])]:
        if name not in PARTS:
            raise typer.BadParameter(f"a part is one of {PARTS}. Received: {name}")
    wanted = [p for p in part or PARTS if p not in (skip or [])]
    if find_spec("torch") is None and "torch" in wanted:
        wanted.remove("torch")
        print("PyTorch isn't installed: nothing is compared with it.")
    rows = []
    for job in jobs(wanted, quick, depth, batch, size, steps):
        start = time.perf_counter()
        made = _run(job, limit)
        print(f"{job.title}: {time.perf_counter() - start:.0f} s", flush=True)
        for row in made:
            print(f"  {row}", flush=True)
        rows += made
    report(f"ResNet-{depth}, {size}x{size}", [_text(row) for row in rows], csv)
    for line in ratios(rows):
        print(line)
    raise typer.Exit(any("failed" in row["result"] for row in rows))


def jobs(
    parts: list[str], quick: bool, depth: int, batch: int, size: int, steps: int
) -> list[Measurement | Check]:
    """What is measured and checked, in order."""
    common = {"depth": depth, "size": size, "steps": steps}
    made = {
        "equality": _equality(quick),
        "golden": _golden(),
        "recipe": [
            Check(
                "training of the digits to its end",
                ["scripts.main", "train", "--recipe", "digits"]
                + ["--strategy", "mirrored", "--directory", "{temporary}/run"],
            )
        ],
        "inference": _inference(quick, common),
        "torch": _torch(quick, common, batch),
        "training": _training(quick, common, batch),
    }
    return [job for part in parts for job in made[part]]


def _training(quick, common, batch):
    if quick:
        rows = [
            ("sa", "bfloat16", True, "mirrored"),
            ("sa", "bfloat16", True, None),
            ("plain", "bfloat16", True, None),
        ]
    else:
        rows = [
            (network, precision, xla, strategy)
            for precision in ("bfloat16", "float16", "float32")
            for network in ("sa", "plain", "sa_literal")
            for xla in (True, False)
            for strategy in (None, "mirrored")
        ]
    keys = ("network", "precision", "xla", "strategy")
    return [
        Measurement(
            "train_tensorflow",
            {**dict(zip(keys, row, strict=True)), **common, "batch": batch},
        )
        for row in rows
    ]


def _torch(quick, common, batch):
    precisions = ("bfloat16",) if quick else ("bfloat16", "float16", "float32")
    made = [
        ("train_torch", {"network": network, "precision": precision, "compiled": c})
        for precision in precisions
        for c in ((False,) if quick else (False, True))
        for network in ("sa", "plain")
    ]
    made = [(name, {**arguments, "batch": batch}) for name, arguments in made]
    made += [
        ("infer_torch", {"network": network, "precision": precision, "compiled": c})
        for precision in (("float16",) if quick else ("float16", "float32"))
        for c in ((False,) if quick else (False, True))
        for network in ("sa", "plain")
    ]
    batches = {"batches": [1, 8, 64]}
    return [
        Measurement(
            name,
            {**arguments, **common, **(batches if name == "infer_torch" else {})},
        )
        for name, arguments in made
    ]


def _inference(quick, common):
    rows = [("sa", "float16", True), ("plain", "float16", True)]
    if not quick:
        rows += [("keras", "float16", True), ("sa", "float16", False)]
        rows += [(name, "float32", True) for name in ("sa", "plain", "keras")]
    return [
        Measurement(
            "infer_saved_model",
            {"network": network, "precision": precision, "fused": fused}
            | {**common, "batches": [1, 8, 64]},
        )
        for network, precision, fused in rows
    ]


def _golden():
    if not (CHECKOUT / "tests" / "golden").is_dir():
        print("The golden data is in a checkout only: not compared.")
        return []
    options = ["-q", "-n", "0", "-m", "", "-W", "default"]
    return [Check("golden data", ["pytest", *GOLDEN_TESTS, *options], EXACT)]


def _equality(quick):
    if not (CHECKOUT / "scripts" / "checks").is_dir():
        print("The table of equality is in a checkout only: not compared.")
        return []
    modes = ["--only", "uneven", "--only", "overflow"] if quick else []
    command = ["scripts.checks.verify_distributed", "--no-workers", *modes]
    return [Check("one, two and four replicas agree", command, EXACT)]


def _run(job, limit):
    """The rows of a job."""
    environment = os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with tempfile.TemporaryDirectory() as temporary:
        if isinstance(job, Measurement):
            module = "keras_sa.scripts.benchmarks.gpu_measurements"
            command = [module, job.function, json.dumps(job.arguments)]
        else:
            environment |= job.environment
            command = [part.format(temporary=temporary) for part in job.command]
            command[0] = command[0].replace("scripts.", "keras_sa.scripts.")
        try:
            done = subprocess.run(
                [sys.executable, "-m", *command],
                capture_output=True,
                text=True,
                timeout=limit,
                env=environment,
                cwd=CHECKOUT if isinstance(job, Check) else None,
            )
        except subprocess.TimeoutExpired:
            return [{"measured": job.title, "result": f"failed: over {limit:.0f} s"}]
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        return [{"measured": job.title, "result": f"failed: exit {done.returncode}"}]
    lines = done.stdout.strip().splitlines()
    if isinstance(job, Check):
        return [{"measured": job.title, "result": lines[-1] if lines else "right"}]
    return [
        {"measured": job.title, "result": "measured", **row}
        for row in json.loads(lines[-1])
    ]


def ratios(rows: list[dict]) -> list[str]:
    """What the figures are measured for, as far as both sides were."""
    speed = {
        (row["measured"], row["batch"]): row["images/s"]
        for row in rows
        if "images/s" in row
    }
    ours = "training: sa, bfloat16, compiled"
    pairs = {
        "fit under mirrored / the compiled step": (f"{ours}, mirrored", ours),
        "SA / plain, compiled steps": (ours, "training: plain, bfloat16, compiled"),
        "SA under mirrored / published module in PyTorch, eager": (
            f"{ours}, mirrored",
            "training: PyTorch, sa, bfloat16",
        ),
        "SA under mirrored / plain ResNet in PyTorch, eager": (
            f"{ours}, mirrored",
            "training: PyTorch, plain, bfloat16",
        ),
        "exported fused SA / published module in PyTorch, float16": (
            "inference: sa, float16, fused",
            "inference: PyTorch, sa, float16",
        ),
        "exported fused SA / exported fused plain, float16": (
            "inference: sa, float16, fused",
            "inference: plain, float16, fused",
        ),
    }
    batches = sorted({batch for _, batch in speed})
    return [
        f"images/s, batch {batch}: {name}: "
        f"{speed[first, batch] / speed[second, batch]:.2f}"
        for name, (first, second) in pairs.items()
        for batch in batches
        if (first, batch) in speed and (second, batch) in speed
    ]


def _text(row):
    """A row of the table: every column, numbers rounded."""
    columns = ("measured", "batch", "ms", "images/s", "peak MB", "first s", "result")
    texts = {name: row.get(name, "") for name in columns}
    return {
        name: f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in texts.items()
    }


if __name__ == "__main__":
    typer.run(gpu)
