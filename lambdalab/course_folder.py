"""A folder with the whole course to work in, for those who installed the kit without its checkout.

The wheel carries the course. The folder remembers the hash of each file it was given, so that a newer kit can bring
up to date what nobody has changed since, and leave alone what somebody has.
"""

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import lambdalab
from lambdalab.errors import UserError
from lambdalab.files import atomic_write, write_json
from lambdalab.paths import COURSE_MARK, checkout, home

SOLUTIONS = "notebooks/exercises/solutions/"


@dataclass
class Handed:
    """What became of each file: new in the folder, updated, the same as before, kept as changed, or no longer shipped.

    Names are relative to the folder, with slashes.
    """

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)


def shipped_course() -> Path:
    """Return the course inside the installed package.

    Raises:
        UserError: if this is a checkout, which has the course itself.
    """
    course = Path(__file__).with_name("_course")
    if not course.is_dir():
        raise UserError(f"this lambdalab runs from the checkout {checkout()}, which is the whole course; work there")
    return course


def hand_out(folder: Path, course: Path, solutions: bool = False) -> Handed:
    """Make a course's folder, or bring it up to date; a file that was changed in it is never overwritten.

    A file that is missing from the folder is put there again: to get a changed one anew, rename or delete it. Each
    file appears whole or not at all, and if this is interrupted, the same call goes on.

    Args:
        folder: A new or empty folder, or one made by this function.
        course: What to hand out, as `shipped_course` returns it.
        solutions: The exercises' solutions too; once in a folder, they are kept up to date.

    Raises:
        UserError: if the folder is something else, or cannot be written.
    """
    try:
        known = _remembered(folder)
        files = _files(course, solutions or any(name.startswith(SOLUTIONS) for name in known))
        retired = [name for name in known if name not in files and (folder / name).is_file()]
        handed = Handed(retired=retired)
        known = {name: known[name] for name in known if name in files}
        _remember(folder, known)
        try:
            for name, source in files.items():
                _put(folder, name, source.read_bytes(), known, handed)
        finally:
            _remember(folder, known)
    except OSError as error:
        message = f"cannot write into the folder {folder} ({error.strerror}); choose another"
        raise UserError(message) from None
    return handed


def enter_course(folder: str) -> None:
    """Make a course's folder and go to its notebooks, which a kernel has to that starts elsewhere, as Colab's does.

    If the kernel is in a course already, that one is brought up to date.

    Raises:
        UserError: as `shipped_course` and `hand_out` do.
    """
    around = home()
    course = around if (around / COURSE_MARK).is_file() else Path(folder).absolute()
    hand_out(course, shipped_course())
    os.chdir(course / "notebooks")


def _files(course: Path, solutions: bool) -> dict[str, Path]:
    """Return what to hand out, by its name in the folder."""
    found = {path.relative_to(course).as_posix(): path for path in sorted(course.rglob("*")) if path.is_file()}
    wanted = {name: path for name, path in found.items() if solutions or not name.startswith(SOLUTIONS)}
    return {"README.md": Path(__file__).with_name("course_readme.md"), **wanted}


def _put(folder: Path, name: str, content: bytes, known: dict[str, str], handed: Handed) -> None:
    """Write one file unless it was changed in the folder; note what became of it, and its hash in `known`."""
    target, shipped = folder / name, sha256(content).hexdigest()
    there = sha256(target.read_bytes()).hexdigest() if target.is_file() else None
    if there not in (None, shipped, known.get(name)):
        handed.kept.append(name)
        return
    known[name] = shipped
    if there == shipped:
        handed.same.append(name)
        return
    with atomic_write(target) as temporary:
        temporary.write_bytes(content)
    (handed.new if there is None else handed.updated).append(name)


def _remembered(folder: Path) -> dict[str, str]:
    """Return the hashes that a course's folder remembers, by name; none of a new folder."""
    mark = folder / COURSE_MARK
    if mark.is_file():
        try:
            return dict(json.loads(mark.read_text(encoding="utf-8"))["files"])
        except (ValueError, KeyError, TypeError):
            return {}  # a damaged memory: each file that differs counts as changed
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder that is new or empty")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is neither empty nor a course of lambdalab init; name another folder")
    return {}


def _remember(folder: Path, known: dict[str, str]) -> None:
    write_json(folder / COURSE_MARK, {"lambdalab": lambdalab.__version__, "files": known})
