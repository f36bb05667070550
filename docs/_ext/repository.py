"""Where the site's "open in Colab / Binder" buttons lead: the repository on GitHub that the checkout came from."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lambdalab.bootstrap import bootstrap_cell
from lambdalab.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub: ``owner/name``, and the branch whose files are opened."""

    name: str
    branch: str


def find_repository() -> Repository | None:
    """Return what ``$LAMBDALAB_REPOSITORY`` says (``owner/name``), else git's ``origin``; ``None``: no such buttons.

    Raises:
        UserError: if the variable is set to something else.
    """
    branch = _git("branch", "--show-current") or "main"
    given = os.environ.get("LAMBDALAB_REPOSITORY", "")
    if given:
        bootstrap_cell(given)  # which refuses what is none
        return Repository(given, branch)
    origin = re.search(r"github\.com[/:]([\w.-]+/[\w.-]+?)(\.git)?/?$", _git("remote", "get-url", "origin"))
    return Repository(origin[1], branch) if origin else None


def _git(*arguments: str) -> str:
    try:
        said = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:  # no git here
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


if __name__ == "__main__":  # make site asks before it begins
    try:
        if find_repository() is None:
            print("No repository on GitHub is known, so no Colab and Binder buttons: make site REPOSITORY=owner/name.")
    except UserError as error:
        print(f"make site: {error}", file=sys.stderr)
        sys.exit(2)
