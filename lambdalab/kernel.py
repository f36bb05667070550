"""Papermill with a kernel of this very Python, quietly.

A kernel spec called `python3` in a user's folder may belong to another environment; the one here cannot.
"""

import contextlib
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from lambdalab.terminal import KernelScreen


def execute(path: Path, growing: Path, values: dict[str, object], screen: KernelScreen) -> None:
    """Execute the notebook `path` with parameters, writing `growing` after each cell.

    Raises:
        PapermillExecutionError: If a cell raised.
        DeadKernelError: If the kernel's process ended.
    """
    with _quiet():
        papermill.execute_notebook(
            _literal(path),
            _literal(growing),
            parameters=values,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stderr_file=screen if screen.live else None,
            start_timeout=120,
            iopub_timeout=120,  # the default of 4 s is too little for a large output on a busy machine
            kernel_manager_class=_ThisPython,
            coalesce_streams=True,  # keeps the last state of a progress bar instead of all of them
            on_cell_execute=screen.start_cell,
        )


class _ThisPython(AsyncKernelManager):
    """Starts ipykernel with `sys.executable`."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The command, which keeps its log to itself, and the width of the terminal for tqdm's bars."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(
            argv=[*command, "--IPKernelApp.log_level=CRITICAL"],
            env={
                "PYDEVD_DISABLE_FILE_VALIDATION": "1",
                "TQDM_NCOLS": str(shutil.get_terminal_size().columns - 1),
            },
            display_name="Python 3",
            language="python",
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence papermill's log and warnings: what matters of them is raised."""
    log = logging.getLogger("papermill")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _literal(path: Path) -> str:
    """Protect a path's braces, which papermill would fill in with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")
