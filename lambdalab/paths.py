"""Where the kit keeps its things: notebooks, runs and downloaded data, all below one folder."""

import os
from pathlib import Path


def home() -> Path:
    """Return the kit's folder: ``$LAMBDALAB_HOME``, else the source checkout, else the current folder.

    A notebook's kernel starts in whatever folder its caller is in, so paths are never taken from there when the
    kit's own folder is known.
    """
    if "LAMBDALAB_HOME" in os.environ:
        return Path(os.environ["LAMBDALAB_HOME"])
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


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
