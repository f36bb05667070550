"""Where the kit keeps its things: notebooks, runs and downloaded data, all below one folder."""

import os
from pathlib import Path

from lambdalab.errors import UserError

# What `lambdalab init` leaves in a folder, by which it is found again.
COURSE_MARK = ".lambdalab-course.json"


def home() -> Path:
    """Return the kit's folder: ``$LAMBDALAB_HOME``, the course around the current folder, the checkout, or just here.

    A notebook's kernel starts in whatever folder its caller is in, so a course is looked for upwards from there.
    """
    if "LAMBDALAB_HOME" in os.environ:
        return Path(os.environ["LAMBDALAB_HOME"])
    here = Path.cwd()
    courses = (folder for folder in (here, *here.parents) if (folder / COURSE_MARK).is_file())
    return next(courses, None) or checkout() or here


def checkout() -> Path | None:
    """Return the source checkout that this package is imported from, or None if it was installed from a wheel."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "pyproject.toml").is_file() else None


def of_the_course(path: Path) -> Path:
    """Return a file or folder that comes with the course, below `home()`.

    Raises:
        UserError: if it is not there, with the way to get it.
    """
    if not path.exists():
        remedy = "run lambdalab init FOLDER and cd FOLDER first, or set LAMBDALAB_HOME to the course's folder"
        raise UserError(f"no {path.relative_to(home())} in {home()}; {remedy}")
    return path


def notebooks_dir() -> Path:
    """Return the folder of the lecture's notebooks."""
    return home() / "notebooks"


def cache_dir() -> Path:
    """Return the folder for downloaded or unpacked data, which git ignores."""
    return home() / "data" / "cache"


def results_dir() -> Path:
    """Return the folder of the runs worth keeping, which git tracks."""
    return home() / "data" / "results"


def runs_dir() -> Path:
    """Return the folder in which new runs are made, which git ignores."""
    return home() / "runs"
