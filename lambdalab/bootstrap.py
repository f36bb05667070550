"""The first code cell of each notebook, exercises too: on Colab it installs the kit, anywhere else it does nothing.

The kit has no address of its own: whoever opens it in Colab does so from a copy on GitHub, whose owner and name stand
in the cell. `lambdalab address OWNER/NAME` writes them there.
"""

import json
import re
from pathlib import Path

from lambdalab.errors import UserError
from lambdalab.files import atomic_write

TAG = "bootstrap"
_CELL = """\
import sys

REPOSITORY = "{repository}"  # for Colab alone: owner/name of your copy of this kit on GitHub
if "google.colab" in sys.modules:
    if not REPOSITORY:
        raise SystemExit("Write owner/name of your copy on GitHub into REPOSITORY.")
    import subprocess

    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, f"git+https://github.com/{{REPOSITORY}}"], check=True)
    from lambdalab.course_folder import enter_course

    enter_course("lambdalab-course")"""


def bootstrap_cell(repository: str) -> str:
    """Return the cell's code for a repository on GitHub, `owner/name`, or for none, an empty text.

    Raises:
        UserError: if it is neither.
    """
    if repository and not re.fullmatch(r"[\w-]+/[\w.-]+", repository, re.ASCII):
        raise UserError(f"'{repository}' is no repository on GitHub; write owner/name, without https://github.com/")
    return _CELL.format(repository=repository)


def place_bootstrap(path: Path, repository: str | None = None) -> str:
    """Give a notebook its first code cell, or a new one in its place, and return the repository that it names.

    A cell that is put in stands below the notebook's title. Where the notebook is executed, it counts as such, and
    the cells behind it count one further.

    Args:
        path: The notebook, which is rewritten.
        repository: `owner/name` on GitHub, or empty; None keeps the one that is there, if any.

    Raises:
        UserError: if the repository is not of this form.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    old = next((cell for cell in cells if TAG in cell["metadata"].get("tags", [])), None)
    if repository is None:
        named = re.search(r'^REPOSITORY = "(.*?)"', "".join(old["source"]), re.M) if old else None
        repository = named[1] if named else ""
    source = bootstrap_cell(repository).splitlines(keepends=True)
    if old:
        old["source"] = source
    else:
        cells.insert(1, _new_cell(source, executed=_count_one_further(cells)))
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return repository


def _new_cell(source: list[str], executed: bool) -> dict:
    cell = {"cell_type": "code", "execution_count": 1 if executed else None, "id": TAG}
    return cell | {"metadata": {"tags": [TAG]}, "outputs": [], "source": source}


def _count_one_further(cells: list[dict]) -> bool:
    """Add one to each execution count, also where outputs repeat it; return whether there was any."""
    counted = [part for cell in cells for part in (cell, *cell.get("outputs", [])) if part.get("execution_count")]
    for part in counted:
        part["execution_count"] += 1
    return bool(counted)
