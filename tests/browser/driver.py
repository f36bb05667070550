"""A real JupyterLab in a real Chromium, with settings of their own: nothing of the user's is read or changed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

HOW_TO = "needs a browser: apt-get install chromium, or set CHROMIUM=/path/to/chromium"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}  # neither asked for nor fetched
IDLE = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  return context?.isReady && context.session?.kernel?.status === 'idle';
}"""


def find_chromium() -> str | None:
    """Return the browser: ``$CHROMIUM``, else chromium or Chrome on the PATH, else ``None``."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def jupyterlab(root: Path, private: Path) -> Iterator[str]:
    """Serve the notebooks in ``root`` and give the server's address; ``private`` is for its settings and log."""
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    env = os.environ | {name: str(private / name) for name in (*folders, "IPYTHONDIR")} | {"OMP_NUM_THREADS": "1"}
    env.pop("JUPYTER_PATH", None)
    settings = private / "JUPYTERLAB_SETTINGS_DIR/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(NO_NEWS))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--expose-app-in-browser", "--ip=127.0.0.1", f"--port={port}"]
    options += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={root}"]
    address = f"http://127.0.0.1:{port}"
    with open(private / "server.log", "wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=env, stdout=log, stderr=log)
    try:
        wait_for(address, server, private / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(20)


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    """Wait until the server answers, or raise with its log."""
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def chromium(executable: str) -> Iterator:
    """Start the browser and give Playwright's handle."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS.split())
        try:
            yield browser
        finally:
            browser.close()


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook with these code cells for the kernel of this Python."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=kernel), path)
    return path


def run_notebook(page, address: str, name: str, minutes: float = 5) -> None:
    """Open a notebook of the server's folder in a page and run all its cells."""
    page.goto(f"{address}/doc/tree/{name}?reset")
    page.wait_for_function(IDLE, timeout=60_000)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    ran = (
        "() => { const cells = window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells;"
        " return cells.every(each => each.cell_type !== 'code' || !each.source || each.execution_count) }"
    )
    page.wait_for_function(ran, timeout=minutes * 60_000)
    page.wait_for_function(IDLE, timeout=minutes * 60_000)


def errors_of(page) -> list[str]:
    """Return a list that fills with what goes wrong in the page from now on."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors
