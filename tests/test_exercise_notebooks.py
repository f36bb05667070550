"""The committed exercises: no answer for students, all of them for teachers, and checks that say what they should."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from small_notebooks import lambdalab

from lambdalab.exercise_versions import BEGIN, END, find_exercises, out_of_date, without_source
from lambdalab.notebooks import notebook_info

ROOT = Path(__file__).resolve().parent.parent
NAMES = [exercise.name for exercise in find_exercises()]
FOLDER = ROOT / "notebooks" / "exercises"
TOPICS = ("lambda_by_hand", "content_lambda", "position_lambda", "defect", "cost", "hybrid", "rescue")


def read(name: str, version: str = ""):
    return nbformat.read(FOLDER / version / f"{name}.ipynb", as_version=4)


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def answers(name: str) -> list[str]:
    """The lines that stand between a source's marks, those alone that occur nowhere else in it."""
    inside, outside, solving = [], set(), False
    for cell in code(read(name, "source")):
        for line in cell.source.splitlines():
            if line.strip() in (BEGIN, END):
                solving = line.strip() == BEGIN
            elif solving:
                inside.append(line.strip())
            else:
                outside.add(line.strip())
    return [line for line in inside if line and line not in outside]


def test_there_is_an_exercise_for_each_topic():
    assert len(NAMES) == 7 and all(topic in name for topic, name in zip(TOPICS, NAMES, strict=True))


def test_the_committed_versions_are_what_the_sources_make():
    assert out_of_date(find_exercises()) == [] and without_source() == []


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_left_in_a_student_version(name):
    lines = answers(name)
    assert len(lines) >= 2
    text = json.dumps(read(name), ensure_ascii=False)
    assert "SOLUTION" not in text
    kept = {line.strip() for cell in read(name).cells for line in cell.source.splitlines()}
    assert [line for line in lines if line in kept] == []
    assert not any(cell.outputs or cell.execution_count for cell in code(read(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_student_version_fails_only_where_it_is_not_written_yet(name):
    """Each check says so, the cells for a grade fail, and nothing else does."""
    shell, checks = InteractiveShell(), 0
    for cell in code(read(name)):
        about, source = cell.metadata.get("nbgrader", {}), cell.source
        if "failed = fit(" in source:  # a training, whose failure the solution shows
            source = source[: source.index("failed = fit(")] + "failed = None"
        made = shell.run_cell(source)
        assert made.error_before_exec is None
        assert type(made.error_in_exec) is (AssertionError if about.get("grade") else type(None)), source
        if about.get("locked") and not about["grade"]:
            checks += 1
            assert "Not written yet" in made.result.message, source
    assert checks >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_was_executed_and_passes_every_check(name):
    cells = code(read(name, "solutions"))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    for cell in cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("locked") and not about["grade"]:
            assert cell.outputs[-1].data["text/plain"].startswith("✓ Right."), cell.source


@pytest.mark.parametrize("name", NAMES)
def test_cells_have_nbgraders_metadata(name):
    cells = code(read(name, "source"))
    graded = [cell.metadata["nbgrader"] for cell in cells if "nbgrader" in cell.metadata]
    assert len({about["grade_id"] for about in graded}) == len(graded)
    for cell in cells:
        about = cell.metadata.get("nbgrader", {})
        assert (BEGIN in cell.source) == about.get("solution", False)
        if about.get("grade"):
            assert cell.source.startswith("assert check_") and about["locked"] and about["points"] == 1
        elif "check_" in cell.source.splitlines()[-1] and about:
            assert about["locked"]
    solved, checked = (sum(about[kind] for about in graded) for kind in ("solution", "grade"))
    assert checked >= solved >= 2


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_says_what_it_teaches_and_how_long_it_takes(name):
    found, top = read(name), read(name).cells[0].source
    for promise in ("**You will learn**", "**You need**", "**Minutes**", "to run", "to teach", "../0"):
        assert promise in top
    for target in re.findall(r"\]\((\.\./[^)]+)\)", "\n".join(cell.source for cell in found.cells)):
        assert (FOLDER / target).is_file(), target
    about = found.metadata["lambdalab"]
    assert set(about) == {"purpose", "minutes_run", "minutes_teach"}
    assert f"to teach: {about['minutes_teach']:.0f}" in top
    assert any(cell.source.startswith("## Take away") for cell in found.cells)


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_has_a_figure_with_an_alternative_text_and_nothing_of_the_machine(name):
    outputs = [output for cell in code(read(name, "solutions")) for output in cell.outputs]
    alts = [
        output.metadata.get("image/png", {}).get("alt", "")
        for output in outputs
        if "image/png" in output.get("data", {})
    ]
    assert alts and all(len(alt) > 20 for alt in alts)
    found = read(name, "solutions")
    assert not re.search(r"/(home|root|work|Users|tmp)/", json.dumps(found))
    assert not any(set(cell.metadata) - {"tags", "nbgrader"} for cell in found.cells)
    assert (
        set(found.metadata) == {"kernelspec", "language_info", "lambdalab"}
        and "version" not in found.metadata.language_info
    )


def test_pytest_collects_the_solutions_and_neither_sources_nor_student_versions():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--nbval", "-p", "no:cacheprovider", "notebooks"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    collected = set(re.findall(r"notebooks/exercises/(\S+?)::", said))
    assert collected == {f"solutions/{name}.ipynb" for name in NAMES}


def test_the_exercises_are_listed_with_their_minutes():
    said = lambdalab("exercises").stdout
    for name in NAMES:
        info = notebook_info(FOLDER / f"{name}.ipynb")
        assert re.search(rf"{name} .*{info.purpose[:10]}.* {info.minutes_run:g} .* {info.minutes_teach:g}", said), said
