"""The measuring commands, on networks that take no time."""

import csv
from itertools import pairwise

import keras
import numpy as np
import pytest
from command_line import run
from needed import needed
from serving_samples import randomize
from serving_samples import small_network

from keras_sa.scripts.benchmarks import formats as benchmark_formats
from keras_sa.scripts.benchmarks import layer as benchmark_layer
from keras_sa.scripts.benchmarks import network_costs
from keras_sa.scripts.benchmarks import serving_plots
from keras_sa.scripts.benchmarks import serving_runtimes
from keras_sa.scripts.benchmarks.network_costs import cost_rows
from keras_sa.serving import export
from keras_sa.visualization.canvas import figure_pixels

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


@pytest.fixture
def one_small_stage(monkeypatch):
    monkeypatch.setattr(benchmark_layer, "STAGES", {"conv2": (4, 128)})


@pytest.mark.slow
def test_norm_and_gate_is_a_multiple_of_the_batch_norm_alone(tmp_path, one_small_stage):
    path = tmp_path / "layer.csv"
    run("benchmark", "layer", "--batch", "2", "--repeats", "1", "--csv", path)
    with path.open() as file:
        rows = {(row["measured"], row["variant"]): row for row in csv.DictReader(file)}
    ratios = {
        name: float(row["median ratio"])
        for (measured, name), row in rows.items()
        if measured == "conv2 norm and gate"
    }
    assert ratios.pop(benchmark_layer.BATCH_NORM) == 1
    assert {"batch norm, then attention", "one operation"} < set(ratios)
    assert min(ratios.values()) > 0


@pytest.mark.slow
def test_kernels_and_bytes_of_norm_and_gate_in_xla(tmp_path, one_small_stage):
    path = tmp_path / "xla.csv"
    run("benchmark", "layer", "--batch", "2", "--xla", "--csv", path)
    with path.open() as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    for row in rows.values():
        assert int(row["kernels"]) > 0
        # Maps and upstream gradient in, output and gradient out.
        assert float(row["maps read or written"]) >= 4


def test_bytes_are_those_of_operands_and_results():
    text = """HloModule module

%fused (p: f32[6]) -> f32[2] {
  %p = f32[6]{0} parameter(0)
  ROOT %r = f32[2]{0} reduce(%p), dimensions={1}
}

%other (p: f32[2,3], q: f32[2], r: f32[2,3]) -> (f32[2,3], f32[]) {
  %q = f32[2]{0} parameter(1)
  %p = f32[2,3]{1,0} parameter(0)
  %r = f32[2,3]{1,0} parameter(2), metadata={op_name="XLA_Args"}
  %s = f32[1,1]{1,0} slice(%r), slice={[0:1], [0:1]}
  ROOT %t = (f32[2,3]{1,0}, f32[]) tuple(%p, %s)
}

ENTRY %main (x: f32[2,3], y: f32[2,3]) -> (f32[2], f32[2,3]) {
  %x = f32[2,3]{1,0} parameter(0)
  %y = f32[2,3]{1,0} parameter(1), metadata={op_name="XLA_Args"}
  %z = f32[6]{0} bitcast(%x)
  %f.1 = f32[2]{0} fusion(%z), kind=kLoop, calls=%fused
  %g = (f32[2,3]{1,0}, f32[]) fusion(%x, %f.1, %y), kind=kLoop, calls=%other
  %h = f32[2,3]{1,0} get-tuple-element(%g), index=0
  ROOT %t = (f32[2]{0}, f32[2,3]{1,0}) tuple(%f.1, %h)
}
"""
    # The second fusion reads one value of y.
    read_and_written = 4 * (6 + 2) + 4 * (6 + 2 + 1 + 6 + 1)
    assert benchmark_layer._kernels_and_bytes(text) == (2, read_and_written)


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
    for name, attention in serving_runtimes.NETWORKS.items():
        export(randomize(small_network(attention)), tmp_path / name)
    rows = serving_plots.operation_rows(tmp_path, batch=2)
    times = {
        row["operations"]: (row[serving_runtimes.PLAIN], row[serving_runtimes.SA])
        for row in rows
    }
    assert "0.0 ms" not in times["convolutions"]
    # The gate is what only one of them has.
    assert times["x · sigmoid(gate)"][0] == "0.0 ms" != times["x · sigmoid(gate)"][1]
    folders = {name: tmp_path / name / "1" for name in serving_runtimes.NETWORKS}
    counts = serving_plots.operation_times(folders, batch=2)
    assert all(min(kinds.values()) >= 0 for kinds in counts.values())


def test_every_line_of_the_picture_has_its_name_beside_it():
    Text = needed("matplotlib.text").Text
    # Four that end at almost the same height, as they do.
    ends = [353.0, 352.8, 349.2, 347.3, 310.5, 512.5]
    latencies = {
        ("TensorFlow", f"network {number}"): {1: 50.0, 8: end}
        for number, end in enumerate(ends)
    }
    operations = [{"operations": "means", "no attention": "1.0 ms", "SA": "2.5 ms"}]
    figure = serving_plots.latency_figure(latencies, operations)
    figure_pixels(figure)
    left, right = figure.axes
    # Of the names alone, without the lines that lead to them.
    boxes = {text.get_text(): Text.get_window_extent(text) for text in left.texts}
    names = sorted(boxes, key=lambda name: boxes[name].y0)
    assert names == [f"TensorFlow, network {number}" for number in (4, 3, 2, 1, 0, 5)]
    for below, above in pairwise(names):
        assert boxes[below].y1 <= boxes[above].y0 + 1
    assert [bar.get_width() for bar in right.patches] == [1.0, 1.0, 2.5, 2.5]


def test_names_move_no_farther_than_they_must():
    assert serving_plots.spread([5.0, 1.0, 9.0], 2) == [5, 1, 9]
    np.testing.assert_allclose(
        serving_plots.spread([4.0, 1, 4, 4.3], 1), [3.1, 1, 4.1, 5.1]
    )
    # Two that clash push a third, which had room, out of the way.
    np.testing.assert_allclose(
        serving_plots.spread([0.0, 0, 1], 1), [-2 / 3, 1 / 3, 4 / 3]
    )


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
