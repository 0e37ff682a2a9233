"""`keras-sa figures`: what it prints is what it measured, and nothing is redone."""

import csv

import numpy as np
import pytest
import tiny_networks
from command_line import run
from needed import needed
from PIL import Image
from sklearn import datasets

from keras_sa.scripts.studies.figures_drawing import draw
from keras_sa.scripts.studies.figures_measurement import gate_deviations
from keras_sa.scripts.studies.figures_measurement import map_correlation
from keras_sa.scripts.studies.figures_measurement import similarity
from keras_sa.scripts.studies.figures_measurement import summary

needed("matplotlib")
CLASSES = ("shirt", "shoe", "bag")
FIGURES = {
    "group_scores.png",
    "class_activations.png",
    "class_similarity.png",
    "grad_cam.png",
}


def arrays(seed, attention=True):
    """As `measure` returns them, of three images and 64 groups."""
    rng = np.random.default_rng(seed)
    found = {
        "accuracy": 0.5 + seed / 4,
        "whole_scores": np.full(3, 0.75),
        "whole_hits": np.array([True, True, False]),
        "activations_conv2_block1_out": np.tile(rng.random(64), (3, 1)),
        "activations_conv5_block1_out": rng.random((3, 64)),
        "images": rng.random((3, 28, 28, 1)).astype("float32"),
        "labels": np.arange(3),
        "predictions": np.eye(3)[[0, 1, 1]],
        "maps": rng.random((3, 28, 28)),
        "heat_on_object": 0.625,
        "object_share": 0.5,
    }
    for place in ("before", "after", "block") if attention else ("block",):
        found[f"{place}_scores"] = np.full((3, 64), 0.25)
        found[f"{place}_hits"] = rng.random((3, 64)) < 0.5
    if attention:
        found["gates_conv2_block1_attention"] = 0.125
    return found


@pytest.fixture(scope="module")
def measured():
    return {
        ("SA", 0): arrays(0),
        ("no attention", 0): arrays(0, attention=False),
        ("SA", 1): arrays(1),
    }


def test_numbers_are_those_of_each_network_and_seed(measured):
    rows = {row.pop(""): row for row in summary(measured)}
    assert rows["accuracy"] == {"SA": "0.500  0.750", "no attention": "0.500"}
    before = rows["mean group score before the last attention"]
    assert before == {"SA": "0.250  0.250", "no attention": ""}
    early = rows["similarity of classes, stage 2"]
    assert early == {"SA": "1.000  1.000", "no attention": "1.000"}
    assert float(rows["similarity of classes, stage 5"]["no attention"]) < 0.5
    gates = rows["standard deviation of the gates, stage 2"]
    assert gates == {"SA": "0.125  0.125", "no attention": ""}
    # The fixtures' maps depend on the seed alone.
    kinds = rows["correlation of Grad-CAMs: other kinds, same seed"]
    assert kinds == {"SA": "1.000", "no attention": "1.000"}
    seeds = rows["correlation of Grad-CAMs: same kind, other seeds"]
    assert seeds["no attention"] == ""
    assert all(abs(float(value)) < 0.1 for value in seeds["SA"].split())


def test_similarity_is_the_mean_over_pairs_of_classes():
    same = np.arange(4.0)
    assert similarity(np.stack([same, 2 * same + 1])) == pytest.approx(1)
    assert similarity(np.stack([same, same, -same])) == pytest.approx(-1 / 3)


def test_gates_differ_in_trained_networks_only():
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    plain = tiny_networks.build_tiny(None)
    assert gate_deviations(plain, images) == {}
    network = tiny_networks.build_tiny()
    name = "gates_conv2_block1_attention"
    assert gate_deviations(network, images)[name] < 1e-6
    tiny_networks.randomise(network)
    assert gate_deviations(network, images)[name] > 1e-3


def test_constant_maps_have_no_correlation():
    maps = np.random.default_rng(0).random((2, 4, 4))
    assert map_correlation(maps, np.stack([maps[0], 0 * maps[1]])) == pytest.approx(1)


def test_every_figure_is_drawn_and_small(measured, tmp_path):
    paths = draw(measured, CLASSES, tmp_path)
    assert {path.name for path in paths} == FIGURES
    for path in paths:
        assert path.stat().st_size < 400_000
        assert np.asarray(Image.open(path)).std() > 10


def test_networks_of_other_settings_are_not_taken(tmp_path):
    (tmp_path / "settings.json").write_text('{"data": "digits", "steps": 3}')
    arguments = ("--networks", tmp_path, "--output", tmp_path, "--steps", 4)
    result = run("figures", *arguments, code=1)
    assert "give another --networks" in result.output


@pytest.mark.slow
def test_the_command_trains_once(tmp_path):
    digits = datasets.load_digits()
    images = np.kron(digits.images * 15, np.ones((3, 3))).astype("uint8")
    np.savez(
        tmp_path / "digits.npz",
        x_train=images[:128],
        y_train=digits.target[:128],
        x_test=images[128:148],
        y_test=digits.target[128:148],
    )
    arguments = ["--data", f"npz:{tmp_path / 'digits.npz'}", "--steps", 2]
    arguments += ["--seeds", 1, "--networks", tmp_path / "networks"]
    result = run("figures", *arguments, "--output", tmp_path / "first")
    assert result.output.count("training:") == 3
    with (tmp_path / "first" / "numbers.csv").open() as file:
        columns = list(csv.DictReader(file))[0]
    assert list(columns)[1:4] == ["SA", "SA without shuffle", "no attention"]
    result = run("figures", *arguments, "--output", tmp_path / "again")
    assert "training:" not in result.output
    assert "measuring:" not in result.output
    for name in FIGURES:
        first = Image.open(tmp_path / "first" / name)
        again = Image.open(tmp_path / "again" / name)
        np.testing.assert_array_equal(first, again)
