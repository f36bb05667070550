"""Notebook 09 on folders of a few runs: none, one, missing seeds, two recipes; wrong parameters are one line."""

from pathlib import Path

import nbformat
import pytest
from made_runs import make_row, make_run, make_runs
from small_notebooks import outputs

from lambdalab.errors import UserError
from lambdalab.notebooks import run_notebook
from lambdalab.queue import read_queue

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "09_compare_runs.ipynb"
CONV, LAMBDA = make_row("conv"), make_row("lambda", "lambda_resnet11_tiny", options={"scope": 7})
LONGER = make_row("longer", "lambda_resnet11_tiny", options={"scope": 7}, settings={"epochs": 3})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_runs(tmp_path_factory.mktemp("runs"), [(CONV, [0.60, 0.62, 0.61]), (LONGER, [0.9])])
    for seed, top1 in ((1, 0.66), (2, 0.64)):
        make_run(folder, LAMBDA, seed, top1, lossless_top1=top1, lossless_stored_top1=top1, lossless_pictures=100)
    return folder


def test_says_what_can_be_said_of_missing_seeds_and_another_recipe(folder, tmp_path):
    saved = run_notebook(NOTEBOOK, {"runs": ["*"], "folder": str(folder)}, tmp_path)
    said = outputs(saved)
    assert "runs: 6 · rows: 3" in said
    assert "lambda − conv: +3.50 (n = 2, -2.85 to +9.85): cannot tell" in said
    assert "longer: unlike conv in epochs" in said and "longer −" not in said
    assert "lambda cannot be told from conv, at 1.0 times its CPU-seconds of training" in said
    tables = "".join(str(cell.get("outputs", "")) for cell in nbformat.read(saved, as_version=4).cells)
    assert "| conv | resnet11_tiny |" in tables and "not run" in tables


def test_a_single_run_has_no_spread_and_no_comparison(tmp_path):
    make_run(tmp_path / "runs", CONV, 0, 0.6)
    said = outputs(run_notebook(NOTEBOOK, {"runs": ["*"], "folder": str(tmp_path / "runs")}, tmp_path))
    assert "conv: 60.00 %, n = 1" in said and "comparisons: 0" in said and "rows compared: 0" in said


def test_what_jpeg_costs_those_who_learn_from_it_is_told_in_pairs(tmp_path):
    rows = {row.name: row for row in read_queue(ROOT / "configs" / "replays.yaml")}
    results = [("laptop_conv_true", [0.62, 0.63, 0.61]), ("laptop_conv_q75", [0.60, 0.62, 0.60])]
    make_runs(tmp_path / "runs", [(rows[name], top1) for name, top1 in results])
    said = outputs(run_notebook(NOTEBOOK, {"runs": ["*"], "folder": str(tmp_path / "runs")}, tmp_path))
    assert "laptop_conv_q75 − laptop_conv_true: -1.33 (n = 3, -2.77 to +0.10): cannot tell" in said
    assert "networks compared: 1" in said and "laptop_lambda_q75 −" not in said


def test_the_queues_other_pictures_are_compared_apart(tmp_path):
    rows = {row.name: row for row in read_queue(ROOT / "configs" / "replays.yaml")}
    results = [("laptop_conv", [0.5]), ("laptop_conv_32", [0.60, 0.62, 0.60]), ("laptop_lambda_32", [0.70, 0.71, 0.72])]
    make_runs(tmp_path / "runs", [(rows[name], top1) for name, top1 in results])
    said = outputs(run_notebook(NOTEBOOK, {"runs": ["*"], "folder": str(tmp_path / "runs")}, tmp_path))
    assert "rows compared: 0" in said and "rows compared on other pictures: 1" in said
    assert "CIFAR-10, JPEG q75:\n  laptop_lambda_32 − laptop_conv_32: +10.33 (n = 3, " in said
    assert "): better" in said


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"runs": ["laptop_*"]}, "no run of laptop_.* has finished yet"),
        ({"runs": ["lamda"]}, "did you mean 'lambda'"),
        ({"group": "model.scope", "runs": ["lambda", "longer"]}, "'scope 7' would mix runs that differ in epochs"),
        ({"group": "scope"}, "cannot group by 'scope'"),
        ({"metric": "test_acc"}, "there are test_top1"),
        ({"reference": "laptop_conv"}, "no finished row 'laptop_conv'"),
        ({"confidence": 0.05}, "at least 0.5"),
        ({"folder": "nowhere"}, "no run of . has finished yet"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_runs_nothing(folder, tmp_path, parameters, named):
    with pytest.raises(UserError, match=named) as caught:
        run_notebook(NOTEBOOK, {"runs": ["*"], "folder": str(folder), **parameters}, tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
