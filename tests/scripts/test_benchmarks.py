"""The measuring commands, on networks that take no time."""

import numpy as np
import pytest
from serving_samples import randomize
from serving_samples import small_network
from typer.testing import CliRunner

from keras_sa.scripts import benchmark
from keras_sa.scripts import benchmark_formats
from keras_sa.scripts.network_costs import cost_rows

SMALL = {"blocks": (1,), "width": 16, "stem": "small", "classes": 4}


@pytest.mark.slow
def test_costs_are_multiples_of_the_reference():
    variants = {
        "none": {**SMALL, "attention": None},
        "sa": {**SMALL, "attention": "sa", "attention_options": {"groups": 4}},
    }
    rows = cost_rows(variants, "none", (16, 16, 3), (1,), 2, repeats=1)
    assert [row["variant"] for row in rows] == ["none", "sa"] * 3
    for none, sa in zip(rows[::2], rows[1::2], strict=True):
        assert none["measured"] == sa["measured"]
        assert float(none["median ratio"]) == 1
        assert float(sa["median ratio"]) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_format_is_run_and_compared(tmp_path):
    for module in ("ai_edge_litert", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    network = randomize(small_network(classifier_activation=None))
    images = np.random.default_rng(0).standard_normal((6, 32, 32, 3)).astype("float32")
    # The last batch is smaller: every format takes any batch.
    rows = benchmark_formats._rows(
        network, list(benchmark_formats.PRECISIONS), images, [images], 4, 1, tmp_path
    )
    assert len(rows) == 1 + sum(map(len, benchmark_formats.PRECISIONS.values()))
    for row in rows:
        # What is promised of float32; the others have 11, 8 and 8 bits.
        limit = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1, "int8": 1.0}[
            row["precision"]
        ]
        assert float(row["difference"]) <= limit, row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "--module", "simam"], "must be None or one of"),
        (["formats", "--format", "coreml"], "must be of"),
        (["strategy", "--network", "vgg"], "must be one of"),
        (["serving", "--runtime", "tvm"], "must be of"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_built(arguments, message):
    result = CliRunner().invoke(benchmark.app, arguments)
    assert result.exit_code == 2
    # The message may be broken into lines.
    assert message in " ".join(result.output.replace("│", " ").split())
