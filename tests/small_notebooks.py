"""Notebooks small enough to be run by a test, in a kit's folder of their own."""

import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import v4

PARAMETERS = """
model: str = "small"  # the network
epochs: int = 2  # passes over the training set; epochs = 0 only evaluates
rate: float = 0.1  # step size
flip: bool = True
scopes: list[int] = [3, 5]
limit: int | None = None
out: str = "somewhere"
"""
CHECK = """
from lambdalab.errors import UserError
print("a line of the check")
if model not in ("small", "big"):
    raise UserError(f"unknown model '{model}'; there are small, big")
"""
WORK = """
import json, pathlib
values = [model, epochs, rate, flip, scopes, limit, out]
pathlib.Path(out, "values.json").write_text(json.dumps(values))
pathlib.Path(out, "summary.json").write_text(json.dumps({"headline": "98.4 % of the digits"}))
"""
ABOUT = {"purpose": "the training loop", "minutes_run": 1.5, "minutes_teach": 40}


def write_notebook(path: Path, *cells: str, **about: object) -> Path:
    """Write a notebook of code cells: a first line `# tag: name` tags it, another `# line` makes it prose."""
    made = []
    for source in cells:
        tag, _, rest = source.partition("\n")
        if tag.startswith("# tag: "):
            made.append(v4.new_code_cell(rest, metadata={"tags": [tag.removeprefix("# tag: ")]}))
        else:
            made.append((v4.new_markdown_cell if tag.startswith("# ") else v4.new_code_cell)(source))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=made, metadata={"lambdalab": about}), path)
    return path


def make_kit(home: Path) -> Path:
    """Make a kit with two notebooks, and return its folder."""
    write_notebook(home / "notebooks" / "00_start_here.ipynb", "# Start here", "print('hello')")
    write_notebook(
        home / "notebooks" / "06_train.ipynb",
        "# Train a network",
        f"# tag: parameters{PARAMETERS}",
        f"# tag: check{CHECK}",
        WORK,
        **ABOUT,
    )
    return home


def outputs(path: Path) -> str:
    """Return what the cells of an executed notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def command(*arguments: str) -> list[str]:
    """Return the command line of `lambdalab` as a user starts it."""
    return [sys.executable, "-c", "from lambdalab.cli import main; main()", *arguments]


def lambdalab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `lambdalab` in a process of its own."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False)
