"""The notebooks' first code cell: the same everywhere, nothing but on Colab, and there it brings kit and course."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from lambdalab.bootstrap import TAG, bootstrap_cell, place_bootstrap
from lambdalab.cli import main
from lambdalab.exercise_versions import find_exercises, out_of_date
from lambdalab.notebooks import list_notebooks
from lambdalab.paths import notebooks_dir

NOTEBOOKS = [info.path for info in list_notebooks()]
EXERCISES = sorted((notebooks_dir() / "exercises").glob("**/[!.]*.ipynb"))  # as handed out, solved, and their sources
# Runs a cell with Colab's module or without, with a pip that only tells, and with a course to enter.
KERNEL = """
import subprocess, sys, types
subprocess.run = lambda command, check: print(*command[1:], check)
sys.modules["lambdalab.course_folder"] = types.SimpleNamespace(enter_course=lambda name: print("enter", name))
if sys.argv[2] == "colab":
    sys.modules["google.colab"] = types.ModuleType("google.colab")
before = set(sys.modules)
exec(sys.argv[1])
print("loaded", *set(sys.modules) - before)
"""


def run_cell(source: str, where: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", KERNEL, source, where], capture_output=True, text=True)


def first_code(path: Path):
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def test_every_notebook_begins_with_the_same_cell():
    cells = [first_code(path) for path in NOTEBOOKS + EXERCISES]
    assert len(NOTEBOOKS) >= 9 and len(EXERCISES) >= 3 * 7
    assert all(cell.metadata.tags == [TAG] and not cell.outputs for cell in cells)
    (source,) = {cell.source for cell in cells}
    repository = re.search('REPOSITORY = "(.*?)"', source)[1]
    assert source == bootstrap_cell(repository)


@pytest.mark.parametrize("repository", ["", "school/lambdas"])
def test_anywhere_but_on_colab_nothing_happens(repository):
    ran = run_cell(bootstrap_cell(repository), "elsewhere")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "loaded\n", "")


def test_on_colab_it_installs_the_copy_and_enters_the_course():
    first, second, _ = run_cell(bootstrap_cell("school/lambdas"), "colab").stdout.splitlines()
    assert first == "-m pip install --quiet git+https://github.com/school/lambdas True"
    assert second == "enter lambdalab-course"


def test_on_colab_without_a_repository_one_line_says_what_to_write():
    ran = run_cell(bootstrap_cell(""), "colab")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "Write owner/name of your copy on GitHub into REPOSITORY.\n"


@pytest.mark.parametrize("executed", [True, False])
def test_a_cell_put_in_counts_and_changes_nothing_else(tmp_path, executed):
    path = tmp_path / "x.ipynb"
    shutil.copy(NOTEBOOKS[0], path)
    before = json.loads(path.read_text(encoding="utf-8"))
    before["cells"] = [cell for cell in before["cells"] if TAG not in cell["metadata"].get("tags", [])]
    code = [cell for cell in before["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(code, start=1):
        cell["execution_count"] = count if executed else None
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = cell["execution_count"]
    path.write_text(json.dumps(before), encoding="utf-8")
    assert place_bootstrap(path, "school/lambdas") == "school/lambdas"
    after = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(after)
    placed = after["cells"].pop(1)
    assert "".join(placed["source"]) == bootstrap_cell("school/lambdas")
    assert placed["execution_count"] == (1 if executed else None)
    assert [counts(cell) for cell in after["cells"]] == [
        {count + 1 if count else None for count in counts(cell)} for cell in before["cells"]
    ]
    assert stripped(after) == stripped(before)


def counts(cell: dict) -> set[int | None]:
    """Return the execution counts that a cell and its outputs carry."""
    return {part["execution_count"] for part in (cell, *cell.get("outputs", [])) if "execution_count" in part}


def stripped(notebook: dict) -> str:
    return re.sub(r'"execution_count": \w+', "", json.dumps(notebook))


def test_the_command_writes_an_address_into_all_notebooks_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    for path in NOTEBOOKS[:2]:
        shutil.copy(path, tmp_path / "notebooks")
    for arguments in (["school/lambdas"], []):
        told = CliRunner().invoke(main, ["address", *arguments])
        assert told.exit_code == 0 and told.stdout.count(": school/lambdas\n") == 2
        cells = [first_code(path) for path in (tmp_path / "notebooks").iterdir()]
        assert {cell.source for cell in cells} == {bootstrap_cell("school/lambdas")}
    assert CliRunner().invoke(main, ["address", ""]).stdout.count("no repository") == 2


def test_an_address_leaves_the_exercises_what_their_sources_make(tmp_path, monkeypatch):
    shutil.copytree(notebooks_dir() / "exercises", tmp_path / "notebooks" / "exercises")
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    told = CliRunner().invoke(main, ["address", "school/lambdas"])
    assert "\nexercises/solutions/07_rescue_the_run: school/lambdas\n" in told.stdout
    cells = [first_code(path) for path in (tmp_path / "notebooks" / "exercises").glob("**/*.ipynb")]
    assert len(cells) == len(EXERCISES) and {cell.source for cell in cells} == {bootstrap_cell("school/lambdas")}
    assert out_of_date(find_exercises()) == []


@pytest.mark.parametrize("repository", ["lambdas", "https://github.com/a/b", "a/b/c", 'a/b"; x="', "a/b c"])
def test_what_is_no_repository_is_refused_and_nothing_written(tmp_path, monkeypatch, repository):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    copied = Path(shutil.copy(NOTEBOOKS[0], tmp_path / "notebooks"))
    told = CliRunner().invoke(main, ["address", repository])
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "write owner/name" in told.stderr and copied.read_bytes() == NOTEBOOKS[0].read_bytes()
