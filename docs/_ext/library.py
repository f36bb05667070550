"""What the library consists of for a reader: the rooms of CONTRIBUTING.md, and in them the modules that are met.

A module has a place in the reference if a notebook, the README or ``from lambdalab import …`` leads to it; what only
the kit itself imports is left to the source.
"""

import ast
import json
import re
from functools import cache
from pathlib import Path

import lambdalab

ROOT = Path(__file__).resolve().parent.parent.parent


def room_names() -> list[str]:
    """Return the rooms, in CONTRIBUTING.md's order."""
    return list(_rooms())


def modules_of(room: str) -> list[str]:
    """Return the modules of a room that the reference shows, in CONTRIBUTING.md's order."""
    met = {*lambdalab._HOME_OF.values(), *(module for module, _ in _all_uses())}
    return [module for module in _rooms()[room] if module in met]


def uses(notebook: dict) -> list[tuple[str, str]]:
    """Return what a notebook's code cells import from the library, as (module, name) in order, each once."""
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return _imports(code)


def users_of(module: str) -> list[str]:
    """Return the notebooks that import from a module, as names below ``notebooks/``."""
    return [name for name, found in _notebooks().items() if any(module == used for used, _ in found)]


def where(module: str, name: str) -> str:
    """Return the full name under which the reference documents an import."""
    return f"lambdalab.{module}.{name}"


@cache
def _rooms() -> dict[str, list[str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w ]+) \| (`.+`.*) \|$", text, re.MULTILINE)
    return {room: re.findall(r"`(\w+)/?`", modules) for room, modules in rows}


@cache
def _notebooks() -> dict[str, list[tuple[str, str]]]:
    folder = ROOT / "notebooks"
    paths = [*sorted(folder.glob("[!.]*.ipynb")), *sorted(folder.glob("exercises/[!.]*.ipynb"))]
    names = {path: path.relative_to(folder).with_suffix("").as_posix() for path in paths}
    return {name: uses(json.loads(path.read_text(encoding="utf-8"))) for path, name in names.items()}


def _all_uses() -> list[tuple[str, str]]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return [use for found in (*_notebooks().values(), *map(_imports, blocks)) for use in found]


def _imports(code: str) -> list[tuple[str, str]]:
    found = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lambdalab":
            for each in node.names:
                module = [*node.module.split("."), lambdalab._HOME_OF.get(each.name, "")][1]
                found[module, each.name] = None
    return [use for use in found if use[0]]
