"""Run tables, intervals and the report's claims."""

import json
import math

import numpy as np
import pytest
from command_line import run

from keras_sa.applications import AttentionResNet
from keras_sa.layers import registry
from keras_sa.scripts.benchmarks import network_costs
from keras_sa.study import ABLATIONS
from keras_sa.study import RunTable
from keras_sa.study import mean_interval
from keras_sa.study import paired_difference
from keras_sa.study import write_report

COLUMNS = ("arm", "seed", "accuracy")
# The 97.5 % quantiles of Student's t, as printed in tables, by degrees of freedom.
QUANTILES = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262}


@pytest.mark.parametrize("freedom", QUANTILES)
def test_intervals_are_students(freedom):
    values = list(np.random.default_rng(freedom).standard_normal(freedom + 1))
    interval = mean_interval(values)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert interval.mean == pytest.approx(np.mean(values))
    # The table has three decimals.
    assert interval.half_width == pytest.approx(QUANTILES[freedom] * error, rel=2e-4)


def test_a_single_run_has_no_interval():
    interval = mean_interval([0.5])
    assert math.isnan(interval.half_width)
    assert not interval.excludes_zero


def test_differences_are_taken_within_a_seed():
    noise = np.random.default_rng(0).standard_normal(8)
    better = {seed: noise[seed] + 0.01 + 1e-4 * (seed % 2) for seed in range(6)}
    reference = dict(enumerate(noise))
    difference = paired_difference(better, reference)
    # The seeds' own noise is a hundred times larger and cancels.
    assert difference.excludes_zero
    assert difference.runs == 6
    assert difference.mean == pytest.approx(0.01005)
    assert paired_difference({1: 0.5}, {2: 0.5}) is None


def test_the_report_ranks_only_what_the_runs_carry(tmp_path):
    rng = np.random.default_rng(0)
    same = {n: dict(enumerate(rng.normal(0.9, 0.01, 5))) for n in ("none", "se", "sa")}
    assert "these runs carry no ranking" in write_report(tmp_path, "same", same, {})
    better = {seed: value + 0.05 for seed, value in same["none"].items()}
    text = write_report(tmp_path, "better", {**same, "eca": better}, {})
    assert "- eca is above none" in text
    assert "no ranking" not in text
    assert "se is" not in text
    assert (tmp_path / "accuracy.png").read_bytes()[1:4] == b"PNG"


def test_costs_become_columns_and_a_picture(tmp_path):
    results = {"none": {0: 0.5, 1: 0.6}, "sa": {0: 0.6, 1: 0.7}}
    costs = {"none": {"parameters": 1000}, "sa": {"parameters": 1024}}
    text = write_report(tmp_path, "costs", results, costs)
    assert "| 1,024 |" in text
    assert (tmp_path / "cost.png").is_file()


def test_a_table_goes_on_and_refuses_other_settings(tmp_path):
    RunTable(tmp_path, {"epochs": 5}, COLUMNS).add(
        {"arm": "sa", "seed": 0, "accuracy": 0.5}
    )
    table = RunTable(tmp_path, {"epochs": 5}, COLUMNS)
    assert table.rows == [{"arm": "sa", "seed": "0", "accuracy": "0.5"}]
    with pytest.raises(ValueError, match="other settings.*'epochs': 5.*'epochs': 6"):
        RunTable(tmp_path, {"epochs": 6}, COLUMNS)


def test_a_table_without_runs_takes_other_settings(tmp_path):
    RunTable(tmp_path, {"epochs": 5}, COLUMNS)
    RunTable(tmp_path, {"epochs": 6}, COLUMNS)
    assert json.loads((tmp_path / "settings.json").read_text()) == {"epochs": 6}


def test_wrong_blocks_are_named(tmp_path):
    result = compare(tmp_path, "--blocks", "1,a", code=2)
    assert "--blocks must be such as 1,1,1" in " ".join(result.output.split())


@pytest.mark.parametrize(
    "text", ["", "arm,seed\nsa,0\n", "arm,seed,accuracy\nsa,0\n", "\0\1"], ids=repr
)
def test_a_damaged_table_is_refused(tmp_path, text):
    RunTable(tmp_path, {}, COLUMNS)
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(ValueError, match="is not a table with the columns"):
        RunTable(tmp_path, {}, COLUMNS)


def compare(directory, *arguments, data="digits", code=0):
    small = "--blocks 1 --width 16 --image-size 8 --epochs 1 --images 64 --no-costs"
    where = ("compare", data, "--directory", directory)
    return run(*where, *small.split(), *arguments, code=code)


@pytest.mark.slow
def test_compare_does_the_missing_runs(tmp_path):
    arms = ["--arm", "none", "--arm", "sa_no_norm", "--seeds", "2"]
    compare(tmp_path / "a", *arms, "--runs", "3")
    table = (tmp_path / "a" / "runs.csv").read_text().splitlines()
    assert len(table) == 1 + 3
    compare(tmp_path / "a", *arms)
    after = (tmp_path / "a" / "runs.csv").read_text().splitlines()
    assert after[:4] == table
    assert [line.split(",")[:2] for line in after[1:]] == [
        ["none", "0"],
        ["sa_no_norm", "0"],
        ["none", "1"],
        ["sa_no_norm", "1"],
    ]
    report = (tmp_path / "a" / "README.md").read_text()
    assert "keras-sa compare digits --directory DIR --arm none --arm sa" in report
    assert "--seeds 2 --epochs 1 --images 64 --image-size 8" in report
    # A run does not depend on those before it.
    compare(tmp_path / "b", "--arm", "none", "--seeds", "2")
    alone = (tmp_path / "b" / "runs.csv").read_text().splitlines()
    assert alone[2].split(",")[2:4] == after[3].split(",")[2:4]


@pytest.mark.slow
def test_compare_trains_equal_networks_once(tmp_path):
    compare(tmp_path, "--arm", "sa", "--arm", "sa_groups_8", "--seeds", "1")
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + 1


def test_compare_refuses_unknown_networks(tmp_path):
    result = compare(tmp_path, "--arm", "simam", code=1)
    assert "An arm must be one of" in result.output
    assert not (tmp_path / "settings.json").exists()


def test_compare_refuses_groups_that_do_not_fit_before_it_trains(tmp_path):
    result = compare(tmp_path, "--arm", "none", "--arm", "sa", "--groups", "64", code=1)
    assert "groups=64 and 64 channels" in " ".join(result.output.split())
    assert not (tmp_path / "runs.csv").exists()


def test_compare_says_that_data_is_missing(tmp_path):
    result = compare(tmp_path / "runs", data=f"folder:{tmp_path / 'nothing'}", code=1)
    assert "Traceback" not in result.output


def test_some_images_of_sorted_data_are_of_all_its_classes(tmp_path):
    """As a folder of photos has them: one class after the other."""
    labels = np.repeat([0, 1], 64)
    images = np.broadcast_to(200 * labels[:, None, None], (128, 8, 8)).astype("uint8")
    np.savez(
        tmp_path / "sorted.npz",
        x_train=images,
        y_train=labels,
        x_test=images,
        y_test=labels,
    )
    arguments = ["--arm", "none", "--seeds", "1", "--epochs", "10"]
    arguments += ["--batch-size", "16", "--learning-rate", "0.02"]
    data = f"npz:{tmp_path / 'sorted.npz'}"
    compare(tmp_path / "runs", *arguments, data=data)
    row = (tmp_path / "runs" / "runs.csv").read_text().splitlines()[1]
    assert float(row.split(",")[2]) == 1
    model = AttentionResNet(
        attention=None,
        input_shape=(8, 8, 1),
        classes=2,
        blocks=(1,),
        width=16,
        stem="small",
    )
    report = (tmp_path / "runs" / "README.md").read_text()
    assert f"| {model.count_params():,} |" in report


@pytest.mark.slow
def test_compare_can_hold_out_images_to_choose_by(tmp_path):
    held_out = ["--split", "validation", "--validation-fraction", "0.25"]
    compare(tmp_path, "--arm", "none", "--seeds", "1", *held_out)
    assert " ".join(held_out) in (tmp_path / "README.md").read_text()


def test_costs_of_variants_are_measured_in_a_process_of_their_own(monkeypatch):
    known = {k: v for k, v in registry.ATTENTIONS.items() if k != "sa_ablated"}
    monkeypatch.setattr(registry, "ATTENTIONS", known)
    arm = ABLATIONS["sa_no_norm"]
    options = {"attention_options": {**arm.options, "groups": 4}, "blocks": (1,)}
    model = network_costs.build(
        {"attention": arm.attention, **options, "width": 8, "stem": "small"}, (8, 8, 1)
    )
    assert model.count_params() > 0
