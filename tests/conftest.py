"""The site is built once for all tests that look at it, in whichever process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from site_pages import Site

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Site:
    """The site as `make site REPOSITORY=someone/lambdalab` builds it, in a temporary folder."""
    from filelock import FileLock

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # what all of a run's processes share
        folder = folder.parent
    said = folder / "site.log"
    with FileLock(folder / "site.lock"):
        if not said.exists():
            said.write_text(build(folder))
    return Site(folder / "site", said.read_text())


def build(folder: Path) -> str:
    """Run the Makefile's command, and return its exit status and all it said."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    command = re.search(r"\$\(BIN\)/sphinx-build (.+)$", makefile, re.MULTILINE)[1]
    arguments = command.replace("build/", f"{folder}/").split()
    environment = os.environ | {"LAMBDALAB_REPOSITORY": "someone/lambdalab", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "sphinx", *arguments]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    return f"{done.returncode}\n{done.stdout}{done.stderr}"
