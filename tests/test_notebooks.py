"""The committed notebooks: complete, executed, described, honest; and the proof that their outputs are compared."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import nbformat
import pytest

from lambdalab.notebooks import list_notebooks, parameters_of, run_notebook
from lambdalab.recipe import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = [info.name for info in list_notebooks()]
# Parameters that make a notebook quick; each notebook is run with them, so a new one needs a line here.
SMALL = {
    "00_start_here": {"picture": 7, "heads": 2, "scope": 3},
    "01_from_attention_to_lambdas": {
        "picture": 7,
        "pixel": 20,
        "epochs": 1,
        "heads": 2,
        "dim_k": 8,
        "channels": 32,
        "batch": 4,
        "side": 8,
        "scope": 7,
    },
    "02_lambda_layer_by_hand": {
        "dim_u": 1,
        "heads": 3,
        "scope": 3,
        "gradient_batch": 8,
        "seeds": 1,
        "experiment_epochs": 1,
    },
    "03_see_the_lambdas": {
        "pictures": "flower",
        "side": 12,
        "layer": "stages.0.0.residual.spatial",
        "head": 0,
        "pixel": [5, 7],
        "count": 3,
        "epochs": 1,
    },
    "04_what_lambdas_cost": {
        "dim": 8,
        "heads": 4,
        "dim_k": 2,
        "scope": 3,
        "sizes": [4, 8],
        "repeats": 1,
        "map_sizes": [4, 6],
        "pictures": 2,
    },
    "05_lambda_resnet": {"model": "lambda_resnet26", "picture_size": 64, "stem": "cifar", "scope": 7},
    "06_train": {"model": "resnet11_tiny", "dataset": "offset_pairs", "epochs": 1, "crop": 0, "device": "cpu"},
    "07_replay_the_log": {"model": "lambda_resnet18_original", "batch": 8, "seeds": 1, "steps": 1},
    "08_parameter_tables": {"tables": ["hybrids"], "depth": 200},
    "09_compare_runs": {"runs": ["digits-*"], "group": "model.name", "metric": "val_top1", "confidence": 0.9},
}


def notebook(name: str):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def code(name: str) -> list:
    return [cell for cell in notebook(name).cells if cell.cell_type == "code"]


def test_the_two_notebooks_of_make_run_are_there():
    assert {"00_start_here", "06_train"} <= set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_executed_from_top_to_bottom_without_errors(name):
    cells = code(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert any(cell.outputs for cell in cells)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_says_what_it_teaches_and_how_long_it_takes(name):
    found, top = notebook(name), notebook(name).cells[0].source
    for promise in ("**You will learn**", "**You need**", "**Minutes**", "to run", "to teach"):
        assert promise in top
    about = found.metadata["lambdalab"]
    assert set(about) == {"purpose", "minutes_run", "minutes_teach"} and about["purpose"]
    assert f"to teach: {about['minutes_teach']:.0f}" in top
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith("|") and f"notebooks/{name}.ipynb" in line)
    assert row.endswith(f"| {about['minutes_teach']:.0f} min |")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_holds_nothing_of_the_machine_it_ran_on(name):
    text = json.dumps(notebook(name))
    assert not re.search(r"/(home|root|work|Users|tmp)/", text)
    found = notebook(name)
    assert "widgets" not in found.metadata and "papermill" not in found.metadata
    assert not any(set(cell.metadata) - {"tags"} for cell in found.cells)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_figures_have_alternative_texts(name):
    pictures = [
        output.metadata.get("image/png", {}).get("alt", "")
        for cell in code(name)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert pictures and all(len(alt) > 20 for alt in pictures)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_parameters_are_typed_and_explained(name):
    parameters = parameters_of(ROOT / "notebooks" / f"{name}.ipynb")
    assert len(parameters) >= 3 and all(parameter.help for parameter in parameters.values())
    assert any("check" in cell.metadata.get("tags", []) for cell in code(name))


def test_training_notebook_has_the_recipes_defaults():
    parameters = parameters_of(ROOT / "notebooks" / "06_train.ipynb")
    recipe = {field.name: field.default for field in fields(TrainConfig)}
    assert {name: parameters[name].default for name in recipe} == recipe


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_with_other_parameters(name, tmp_path):
    saved = run_notebook(ROOT / "notebooks" / f"{name}.ipynb", SMALL[name], tmp_path)
    assert not [
        cell for cell in nbformat.read(saved, as_version=4).cells if "error" in str(cell.get("outputs", ""))[:60]
    ]
    if name == "06_train":
        assert json.loads((tmp_path / "summary.json").read_text())["headline"].startswith("test top-1")


def compare(folder: Path) -> str:
    """Run what `make test` runs on notebooks in a folder, and return what pytest said."""
    options = re.search(r"pytest (.*?) tests notebooks", (ROOT / "Makefile").read_text().replace("\\\n", ""))[1]
    options = options.replace("-n 2 --dist loadscope", "").replace("tests/nbval", f"{ROOT}/tests/nbval").split()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options, str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout


def test_a_corrupted_output_is_noticed(tmp_path):
    """nbval passes what it does not compare; so one stored output is changed, and exactly that cell has to fail."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    found = notebook("00_start_here")
    index = next(i for i, cell in enumerate(code("00_start_here")) if "the same: True" in str(cell.outputs))
    text = json.dumps(found).replace("the same: True", "the same: False")
    (tmp_path / "corrupted.ipynb").write_text(text)
    said = compare(tmp_path)
    assert f"::Cell {index}" in said and re.search(rf"1 failed, {len(code('00_start_here')) - 1} passed", said), said
