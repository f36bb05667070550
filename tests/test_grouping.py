"""Rows of runs: chosen by pattern, grouped by their name or a setting, and never mixed."""

import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import make_row, make_run, make_runs

from lambdalab.errors import UserError
from lambdalab.grouping import chosen, differing, grouped, machines, mean_sd
from lambdalab.runs import read_runs

CONV, LAMBDA = make_row("conv"), make_row("lambda_7", "lambda_resnet11_tiny", options={"scope": 7})
WIDE = make_row("lambda_23", "lambda_resnet11_tiny", options={"scope": 23})


@pytest.fixture
def runs(tmp_path):
    return read_runs(make_runs(tmp_path, [(WIDE, [0.5]), (LAMBDA, [0.6, 0.7]), (CONV, [0.8, 0.9])]))


def test_a_row_is_the_folder_without_its_seed(runs):
    assert dict(zip(runs["run"], runs["row"], strict=True))["lambda_7-seed1"] == "lambda_7"


def test_rows_come_in_the_order_of_the_queue_and_others_after(runs):
    assert list(chosen(runs, ["*"], ["lambda_7", "not_yet", "conv"])["run"]) == [
        "lambda_7-seed0",
        "lambda_7-seed1",
        "conv-seed0",
        "conv-seed1",
        "lambda_23-seed0",
    ]
    assert set(chosen(runs, ["conv", "*_23"])["row"]) == {"conv", "lambda_23"}


def test_what_only_other_runs_have_recorded_is_no_column(runs):
    runs = runs.assign(macs=[1 if row == "conv" else math.nan for row in runs["row"]])
    assert "macs" in chosen(runs, ["*"]) and "macs" not in chosen(runs, ["lambda_*"])


@pytest.mark.parametrize(
    ("patterns", "named"),
    [(["lamda_7"], "did you mean 'lambda_7'"), (["x*"], "finished are conv"), (["not_yet"], "no run of not_yet")],
)
def test_a_pattern_without_a_finished_run_is_refused(runs, patterns, named):
    with pytest.raises(UserError, match=named) as caught:
        chosen(runs, patterns, ["not_yet"])
    assert "\n" not in str(caught.value)


def test_no_run_at_all_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no run has finished yet"):
        chosen(read_runs(tmp_path), ["*"])


def test_a_groups_machine_is_its_processor_or_its_gpu(tmp_path):
    make_runs(tmp_path, [(CONV, [0.8])], machine="one")
    make_run(tmp_path, CONV, 1, 0.9, machine="two")
    make_run(tmp_path, LAMBDA, 0, 0.6, machine="one")
    on_a_gpu = make_run(tmp_path, make_row("gpu"), 0, 0.6, device="cuda")
    (on_a_gpu / "environment.json").write_text(json.dumps({"processor": "one", "gpu": "a GPU"}), encoding="utf-8")
    (make_run(tmp_path, WIDE, 0, 0.5) / "environment.json").unlink()
    found = machines(grouped(read_runs(tmp_path)))
    assert found.to_dict() == {"conv": "one and two", "gpu": "a GPU", "lambda_23": "unnamed", "lambda_7": "one"}


def test_without_any_named_machine_all_are_unnamed(tmp_path):
    (make_run(tmp_path, CONV, 0, 0.5) / "environment.json").unlink()
    runs = grouped(chosen(read_runs(tmp_path), ["*"]))
    assert "machine" not in runs and machines(runs).to_dict() == {"conv": "unnamed"}


def test_groups_by_a_setting(runs):
    both = chosen(runs, ["lambda_*"])
    assert list(grouped(both, "model.scope")["group"]) == ["scope 23", "scope 7", "scope 7"]
    assert differing(both) == ["model.scope"]


def test_runs_that_differ_in_more_than_the_seed_are_not_mixed(runs, tmp_path):
    with pytest.raises(UserError, match="'stages LLL' would mix runs that differ in scope; choose fewer rows"):
        grouped(runs, "model.stages")
    longer = make_row("lambda_7", "lambda_resnet11_tiny", options={"scope": 7}, settings={"epochs": 3})
    make_run(tmp_path, longer, 2, 0.9)
    with pytest.raises(UserError, match="'lambda_7' would mix runs that differ in epochs"):
        grouped(read_runs(tmp_path))


def test_a_seed_counts_once(tmp_path):
    for place in ("here", "there"):
        make_run(tmp_path / place, CONV, 0, 0.5)
    with pytest.raises(UserError, match="two runs of one seed"):
        grouped(read_runs(tmp_path), "model.name")


@pytest.mark.parametrize(("by", "named"), [("model.scop", "did you mean 'model.scope'"), ("train.seed", "differ in")])
def test_an_unknown_grouping_is_refused(runs, by, named):
    with pytest.raises(UserError, match=named):
        grouped(runs, by)


def test_what_older_runs_lack_and_what_follows_from_machine_or_pictures_splits_no_row(tmp_path):
    made = make_run(tmp_path, CONV, 0, 0.5)
    config = json.loads((made / "config.json").read_text())
    del config["model"]["contraction"], config["train"]["channels_last"]
    config["train"]["device"] = "auto"
    config["data"]["mean"] = [0.5]
    (made / "config.json").write_text(json.dumps(config))
    make_run(tmp_path, CONV, 1, 0.6)
    assert differing(read_runs(tmp_path)) == []


def test_a_network_of_ones_own_gets_no_defaults(tmp_path):
    made = make_run(tmp_path, CONV, 0, 0.5)
    config = json.loads((made / "config.json").read_text()) | {"model": {"name": "Mine"}}
    (made / "config.json").write_text(json.dumps(config))
    assert [name for name in read_runs(tmp_path) if name.startswith("model.")] == ["model.name"]


@given(st.lists(st.floats(0, 100), max_size=5))
def test_mean_and_deviation_are_the_samples(values):
    shown = mean_sd([*values, math.nan])
    if not values:
        assert shown == "not run"
    elif len(values) == 1:
        assert shown == f"{values[0]:.2f}"
    else:
        numbers = [float(part) for part in shown.split(" ± ")]
        assert numbers == pytest.approx([statistics.mean(values), statistics.stdev(values)], abs=0.0051)
