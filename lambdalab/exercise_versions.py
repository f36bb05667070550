"""The exercises' notebooks: student and solution versions, made from one source.

In `notebooks/exercises/source/` the answers stand between the lines `### BEGIN SOLUTION` and `### END SOLUTION`,
nbgrader's public convention, in cells with nbgrader's metadata. In the student version each answer is gone: inside a
function `raise NotImplementedError` takes its place; at the margin nothing does, the line above says `name = ...`.
The solution version has the answers without the marks, and is executed.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambdalab.errors import UserError, did_you_mean
from lambdalab.files import atomic_write
from lambdalab.notebooks import read_notebook, run_notebook
from lambdalab.paths import notebooks_dir

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "raise NotImplementedError  # your answer takes the place of this line"
LIKE_A_MARK = re.compile(r"#+\s*(begin|end)\s+solutions?\b", re.IGNORECASE)
# As in the Makefile: whatever changes outputs is the same everywhere.
REPEATABLE = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Exercise:
    """One exercise and its three notebooks."""

    name: str
    folder: Path

    @property
    def source(self) -> Path:
        """The authored one."""
        return self.folder / "source" / f"{self.name}.ipynb"

    @property
    def student(self) -> Path:
        """The one to hand out, without answers, not executed."""
        return self.folder / f"{self.name}.ipynb"

    @property
    def solution(self) -> Path:
        """The one with answers, executed."""
        return self.folder / "solutions" / f"{self.name}.ipynb"


def find_exercises(names: tuple[str, ...] = ()) -> list[Exercise]:
    """Return the exercises that have a source: all, or those named, each as `02_content_lambda` or `02`.

    Raises:
        UserError: if there is no source at all, or none of this name.
    """
    folder = notebooks_dir() / "exercises"
    known = [path.stem for path in sorted((folder / "source").glob("[!.]*.ipynb"))]
    if not known:
        raise UserError(f"no sources in {folder / 'source'}; exercises are built in a checkout of the kit")
    chosen = []
    for name in names:
        fitting = [each for each in known if name in (each, each.split("_")[0])]
        if not fitting:
            raise UserError(f"unknown exercise '{name}'{did_you_mean(name, known)} (there are {', '.join(known)})")
        chosen += fitting
    return [Exercise(name, folder) for name in chosen or known]


def build(exercise: Exercise) -> None:
    """Write an exercise's student version, and its solution version, executed; the same source gives the same bytes.

    Raises:
        UserError: if the source is no notebook or its marks do not fit; then nothing is written.
        NotebookFailed: if the solution stops; then nothing is written.
    """
    student, solution = student_version(exercise.source), solution_version(exercise.source)
    with tempfile.TemporaryDirectory() as folder, _repeatable():
        unexecuted = Path(folder) / exercise.solution.name
        unexecuted.write_text(_text(solution), encoding="utf-8")
        executed = read_notebook(run_notebook(unexecuted, {}, Path(folder) / "run"))
    for path, notebook in ((exercise.student, student), (exercise.solution, _clean(executed, solution))):
        with atomic_write(path) as temporary:
            temporary.write_text(_text(notebook), encoding="utf-8")


def out_of_date(exercises: list[Exercise]) -> list[str]:
    """Return the names of the files that are not what the sources make: of a solution, outputs are left aside.

    Raises:
        UserError: as ``build``.
    """
    stale = []
    for exercise in exercises:
        if not exercise.student.is_file() or _bytes(exercise.student) != _text(student_version(exercise.source)):
            stale.append(exercise.student.name)
        solution = _unexecuted(read_notebook(exercise.solution)) if exercise.solution.is_file() else {}
        if solution != solution_version(exercise.source):
            stale.append(f"solutions/{exercise.solution.name}")
    return stale


def without_source() -> list[str]:
    """Return the student and solution notebooks in the folder that no source belongs to."""
    folder = notebooks_dir() / "exercises"
    found = [*folder.glob("[!.]*.ipynb"), *(folder / "solutions").glob("[!.]*.ipynb")]
    return sorted(str(path.relative_to(folder)) for path in found if not (folder / "source" / path.name).is_file())


def student_version(source: Path) -> dict:
    """Return a source's notebook without its answers.

    Raises:
        UserError: if it is no notebook, or a mark is not closed, nested, astray, misspelt or in no code cell.
    """
    return _version(source, student_code)


def solution_version(source: Path) -> dict:
    """Return a source's notebook with its answers and without the marks, not executed.

    Raises:
        UserError: as ``student_version``.
    """
    return _version(source, solution_code)


def student_code(code: str, where: str) -> str:
    """Return a cell's code with each answer taken out.

    Args:
        code: the cell's.
        where: the notebook and the cell, for the message.

    Raises:
        UserError: as ``student_version``.
    """
    kept = []
    for line, mark, inside in _marked(code, where):
        if mark == BEGIN and line != mark:
            kept.append(line.replace(BEGIN, STUB))
        elif not mark and not inside:
            kept.append(line)
    return "\n".join(kept)


def solution_code(code: str, where: str) -> str:
    """Return a cell's code with its answers and without the marks; arguments and errors as in ``student_code``."""
    return "\n".join(line for line, mark, _ in _marked(code, where) if not mark)


def _marked(code: str, where: str) -> Iterator[tuple[str, str, bool]]:
    """Every line of a cell, the mark it is (or nothing), and whether it is part of an answer."""
    begun = 0
    for number, line in enumerate(code.split("\n"), 1):
        text, place = line.strip(), f"{where}, line {number}"
        if text == BEGIN:
            if begun:
                raise UserError(f"{place}: a solution begins within the one of line {begun}; end that one first")
            begun = number
        elif text == END:
            if not begun:
                raise UserError(f"{place}: '{END}' without '{BEGIN}' above it; add that, or take this line out")
            begun = 0
        elif LIKE_A_MARK.search(text):
            raise UserError(f"{place}: '{text}' is no mark; write '{BEGIN}' or '{END}' on a line of its own")
        yield line, text if text in (BEGIN, END) else "", bool(begun)
    if begun:
        raise UserError(f"{where}, line {begun}: this solution never ends; add '{END}' behind it")


def _version(source: Path, code_of: Callable[[str, str], str]) -> dict:
    notebook = read_notebook(source)
    for number, cell in enumerate(notebook["cells"], 1):
        text, where = "".join(cell["source"]), f"{source.name}, cell {number}"
        if cell["cell_type"] == "code":
            text = code_of(text, where)
            cell |= {"outputs": [], "execution_count": None}
        elif LIKE_A_MARK.search(text):
            raise UserError(f"{where}: a mark of a solution in a cell that is no code; solutions are code")
        cell["source"] = text.splitlines(keepends=True)
    return notebook


def _unexecuted(notebook: dict) -> dict:
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return notebook


def _clean(executed: dict, solution: dict) -> dict:
    """An executed notebook with the metadata that it had before, and no trace of the run."""
    for cell, before in zip(executed["cells"], solution["cells"], strict=True):
        cell["metadata"] = before["metadata"]
    return {**executed, "metadata": solution["metadata"]}


def _text(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _bytes(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


@contextmanager
def _repeatable() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(REPEATABLE)
    os.environ.pop("MPLBACKEND", None)  # a notebook chooses its own
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
