"""The course in minutes: what each notebook takes to run, as measured, and to teach, as stated in it."""

import math
import os
import tempfile
import time
from pathlib import Path

from lambdalab.bench.records import Row, read_rows, write_rows
from lambdalab.doctor import check_cpu
from lambdalab.errors import UserError
from lambdalab.notebooks import NotebookInfo, list_notebooks, notebook_info, run_notebook
from lambdalab.paths import home, notebooks_dir

ROUNDING = 0.75  # notebooks state the minutes they run in halves, rounded up, and a little more for slower machines


def measured_file() -> Path:
    """Return where the measured times of the notebooks are kept."""
    return home() / "data" / "benchmarks" / "notebooks.csv"


def course_notebooks() -> dict[str, NotebookInfo]:
    """Return the lecture's notebooks and then the exercises, by name: `06_train`, `exercises/02_content_lambda`.

    Raises:
        UserError: If a file is no notebook.
    """
    exercises = sorted((notebooks_dir() / "exercises").glob("[!.]*.ipynb"))
    lectures = {info.name: info for info in list_notebooks()}
    return lectures | {f"exercises/{path.stem}": notebook_info(path) for path in exercises}


def measure(name: str, info: NotebookInfo) -> Row:
    """Execute a notebook in a temporary folder, and return how long that took.

    `seconds` are the clock's; `cpu_seconds` are those of all the processor's cores together, which a busy machine does
    not stretch (None where the system does not tell, as on Windows). Of an exercise the solution is run.

    Args:
        name: As `course_notebooks` has it.
        info: The notebook.

    Raises:
        UserError: As in `run_notebook`.
        NotebookFailed: Likewise.
    """
    solution = info.path.parent / "solutions" / info.path.name
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.perf_counter(), _children_seconds()
        run_notebook(solution if solution.is_file() else info.path, {}, folder)
        seconds, cpu = time.perf_counter() - began, _children_seconds() - used
    return {
        "notebook": name,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1) or None,
        "date": time.strftime("%Y-%m-%d"),
        "machine": check_cpu(Path("/proc/cpuinfo")).detail,
    }


def keep(row: Row, file: Path) -> None:
    """Write a measurement into the file, in the place of an earlier one of the same notebook."""
    earlier = read_rows(file) if file.is_file() else []
    rows = [each for each in earlier if each["notebook"] != row["notebook"]]
    write_rows(file, sorted([*rows, row], key=lambda each: ("/" in each["notebook"], each["notebook"])))


def _children_seconds() -> float:
    """Return the processor's seconds of the processes started from here, and from these, that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def minutes_to_run(path: Path) -> dict[str, float]:
    """Return the measured minutes by notebook: the processor's where they are known, else the clock's.

    Raises:
        UserError: If nothing was measured yet.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there: nothing was measured yet; run lambdalab course --measure")
    return {row["notebook"]: (row["cpu_seconds"] or row["seconds"]) / 60 for row in read_rows(path)}


def misstated(notebooks: dict[str, NotebookInfo], measured: dict[str, float]) -> list[str]:
    """Return a line for each notebook that takes longer to run than it states, or shorter by more than rounding."""
    return [
        f"{name} says {info.minutes_run:g} min to run; measured: {measured[name]:.1f}"
        for name, info in notebooks.items()
        if name in measured and not 0 <= info.minutes_run - measured[name] <= ROUNDING
    ]


def minutes_table(notebooks: dict[str, NotebookInfo], measured: dict[str, float]) -> str:
    """Return a Markdown table, for a file in docs/: a notebook a row, its minutes to run and to teach, and the sums."""
    lines = ["| notebook | to run, measured | to teach | together |", "|---|--:|--:|--:|"]
    for kind, chosen in (
        ("all lectures", [name for name in notebooks if "/" not in name]),
        ("all exercises", [name for name in notebooks if "/" in name]),
    ):
        sums = [0.0, 0.0]
        for name in chosen:
            run, teach = measured.get(name), notebooks[name].minutes_teach or 0
            sums = [sums[0] + (run or 0), sums[1] + teach]
            lines.append(f"| {link(name)} | {_minutes(run)} | {teach:g} | {math.ceil(teach + (run or 0))} |")
        if chosen:
            lines.append(f"| **{kind}** | {_minutes(sums[0])} | {sums[1]:g} | {math.ceil(sum(sums))} |")
    return "\n".join(lines)


def link(name: str, short: bool = False) -> str:
    """Return a Markdown link to a notebook, for a file in docs/; in short its text is `06`, or `exercise 02`."""
    _, slash, stem = name.rpartition("/")
    text = f"{'exercise ' if slash else ''}{stem.split('_')[0]}" if short else stem
    return f"[{text}](../notebooks/{name}.ipynb)"


def _minutes(minutes: float | None) -> str:
    return "not yet" if minutes is None else f"{minutes:.1f}"
