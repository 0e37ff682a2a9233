"""The measuring commands, on networks that take no time."""

import csv

import keras
import numpy as np
import pytest
from command_line import run
from needed import needed
from serving_samples import randomize
from serving_samples import small_network

from keras_sa.scripts.benchmarks import formats as benchmark_formats
from keras_sa.scripts.benchmarks import network_costs
from keras_sa.scripts.benchmarks import serving_plots
from keras_sa.scripts.benchmarks import serving_runtimes
from keras_sa.scripts.benchmarks.network_costs import cost_rows
from keras_sa.serving import export

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
        needed(module)
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_served_networks_are_collected_into_a_csv_and_a_png(tmp_path, monkeypatch):
    for module in ("matplotlib", "onnx", "onnxruntime", "sklearn"):
        needed(module)

    def build(options, shape):
        return randomize(small_network(options["attention"]))

    monkeypatch.setattr(network_costs, "build", build)
    monkeypatch.setattr(serving_runtimes, "SIZE", 32)
    monkeypatch.setattr(
        keras.applications, "ResNet50", lambda weights: small_network(None)
    )
    arguments = ["--batch", "1", "--batch", "2", "--repeats", "1", "--output", tmp_path]
    for runtime in ("TensorFlow", "ONNX Runtime"):
        arguments += ["--runtime", runtime]
    run("benchmark", "serving", *arguments)
    with (tmp_path / "latency.csv").open() as file:
        rows = {(row["measured"], row["variant"]): row for row in csv.DictReader(file)}
    for what in ("TensorFlow, batch 1", "TensorFlow, batch 2", "ONNX Runtime, batch 2"):
        assert float(rows[what, serving_runtimes.PLAIN]["median ratio"]) == 1
        assert float(rows[what, serving_runtimes.SA]["median ratio"]) > 0
    assert ("JPEG files of 500x375, batch 8", "JPEG files") in rows
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_time_of_every_kind_of_operation(tmp_path, monkeypatch):
    monkeypatch.setattr(
        serving_plots, "random_images", lambda n: np.zeros((n, 32, 32, 3), "float32")
    )
    times = serving_plots.operation_times(export(small_network(), tmp_path), batch=2)
    assert any(kind.split()[0].endswith("Conv2D") for kind in times), times
    assert all(value >= 0 for value in times.values())


def test_logits_behind_probabilities_too_small_for_float32():
    expected = np.array([[100.0, -5.0, 2.0], [3.0, 1.0, 2.0]], "float32")
    shifted = expected + 7
    probabilities = np.exp(shifted - shifted.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    logits = benchmark_formats._logits(probabilities, expected)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    # A difference that can be seen is seen.
    wrong = benchmark_formats._logits(probabilities[:, [0, 2, 1]], expected)
    assert np.abs(wrong - expected).max() > 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["attention", "--module", "simam"], 1, "must be None or one of"),
        (["formats", "--format", "coreml"], 2, "must be of"),
        (["strategy", "--network", "vgg"], 1, "must be one of"),
        (["serving", "--runtime", "tvm"], 2, "must be of"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_built(arguments, code, message):
    result = run("benchmark", *arguments, code=code)
    # The message may be broken into lines.
    assert message in " ".join(result.output.replace("│", " ").split())
