"""The course in minutes: what each notebook takes to run, as measured, and to teach, as stated."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lambdalab.bench.records import Row, read_rows
from lambdalab.doctor import check_cpu
from lambdalab.errors import UserError
from lambdalab.notebooks import NotebookInfo, list_notebooks, notebook_info, run_notebook
from lambdalab.paths import home, notebooks_dir


def course_notebooks() -> dict[str, NotebookInfo]:
    """Return the lecture's notebooks and then the exercises, by name: `06_train`, `exercises/02_content_lambda`.

    Raises:
        UserError: If a file is no notebook.
    """
    exercises = sorted((notebooks_dir() / "exercises").glob("[!.]*.ipynb"))
    lectures = {info.name: info for info in list_notebooks()}
    return lectures | {f"exercises/{path.stem}": notebook_info(path) for path in exercises}


def measure(notebooks: dict[str, NotebookInfo], say: Callable[[str], None]) -> list[Row]:
    """Execute each notebook in a temporary folder, and return a row for each.

    `seconds` are the clock's, `cpu_seconds` those of all the processor's cores together, which a busy machine does
    not stretch (None where the system does not tell, as on Windows). Of an exercise the solution is run.

    Args:
        notebooks: As `course_notebooks` returns them.
        say: Told a line after each notebook.

    Raises:
        UserError, NotebookFailed: As in `run_notebook`.
    """
    machine = check_cpu(Path("/proc/cpuinfo")).detail
    rows: list[Row] = []
    for name, info in notebooks.items():
        solution = info.path.parent / "solutions" / info.path.name
        with tempfile.TemporaryDirectory() as folder:
            began, used = time.perf_counter(), _children_seconds()
            run_notebook(solution if solution.is_file() else info.path, {}, folder)
            seconds, cpu = time.perf_counter() - began, (_children_seconds() - used) or None
        rows.append({"notebook": name, "seconds": round(seconds, 1), "cpu_seconds": cpu and round(cpu, 1)})
        rows[-1] |= {"date": time.strftime("%Y-%m-%d"), "machine": machine}
        say(f"{name}: {seconds:.0f} s, of a processor {'?' if cpu is None else f'{cpu:.0f}'} s")
    return rows


def _children_seconds() -> float:
    """Return the processor's seconds of all processes that were started here, and theirs, and have ended."""
    times = os.times()
    return times.children_user + times.children_system
