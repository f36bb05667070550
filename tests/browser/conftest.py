"""One JupyterLab and one browser a session; without a browser these tests are skipped, with how to get one."""

from pathlib import Path

import pytest
from driver import HOW_TO, chromium, find_chromium, jupyterlab

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip(HOW_TO)
    with chromium(executable) as started:
        yield started


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """The folder that JupyterLab serves, and its address."""
    root = tmp_path_factory.mktemp("notebooks")
    with jupyterlab(root, tmp_path_factory.mktemp("private")) as address:
        yield root, address


@pytest.fixture(scope="session")
def screenshots() -> Path:
    folder = ROOT / "runs" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
