"""Where the runs of a sweep are executed: in processes on this machine, or by the workers of a Dask cluster.

Both are an executor of ``concurrent.futures`` that starts ``lambdalab run`` for a case and waits for it, so a run that
crashes, or takes all memory, takes nothing else with it.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambdalab.errors import UserError
from lambdalab.files import write_json
from lambdalab.parameters import as_text

PATIENCE = 20  # seconds for a run to end after Ctrl-C


class RunFailed(RuntimeError):
    """A run of a sweep failed; the message is one line."""


@dataclass(frozen=True)
class Case:
    """One run of a sweep: a notebook with parameters, in a folder of its own.

    Attributes:
        varying: the parameters that vary in the sweep, by name.
        notebook: its file.
        given: the parameters given, by name.
        values: all parameters by name, with the notebook's defaults.
        folder: where the run writes.
        start: the folder that relative paths among the parameters start from.
    """

    varying: dict[str, object]
    notebook: Path
    given: dict[str, object]
    values: dict[str, object]
    folder: Path
    start: Path

    @property
    def label(self) -> str:
        """What tells it from the others, such as "lr=0.1,seed=2"."""
        return ",".join(f"{name}={as_text(value)}" for name, value in self.varying.items())


@dataclass(frozen=True)
class Workers:
    """Something that executes cases.

    Attributes:
        executor: starts them.
        stop: ``stop.set()`` ends those that run; a ``threading.Event`` or Dask's.
        threads: of each run, where the environment does not say; ``None``: as many as PyTorch likes.
        link: the address of a page that shows what is going on, if there is one.
    """

    executor: Executor
    stop: threading.Event
    threads: int | None = None
    link: str | None = None

    def start(self, case: Case) -> Future:
        """Start a case as soon as there is room; the future gives ``RunFailed`` if it fails."""
        return self.executor.submit(execute, case, self.stop, self.threads)


@contextmanager
def local_workers(jobs: int) -> Iterator[Workers]:
    """Execute up to ``jobs`` cases at once on this machine, which share its cores."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as executor:
        yield Workers(executor, threading.Event(), threads)


@contextmanager
def dask_workers(address: str, *shared: Path) -> Iterator[Workers]:
    """Execute cases on the Dask cluster whose scheduler is at ``address``, as many at once as its workers have threads.

    Args:
        address: such as "tcp://10.0.0.1:8786".
        shared: files and folders that all workers must see.

    Raises:
        UserError: if Dask is not installed, no scheduler answers, it has no worker, or one does not see the files.
    """
    try:
        from distributed import Client, Event
    except ImportError:
        raise UserError("--scheduler needs dask.distributed; install it: pip install 'lambdalab[cluster]'") from None
    if not re.fullmatch(r"\w+://\S+:\d+", address):
        raise UserError(f"'{address}' is no scheduler's address; write it as tcp://HOST:8786")
    try:
        client = Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError):  # a time-out is an OSError
        raise UserError(f"no Dask scheduler answers at '{address}'; start one: dask scheduler") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=15)
        except OSError:
            raise UserError(f"the scheduler at {address} has no worker; start one: dask worker {address}") from None
        for path in shared:
            blind = [worker for worker, sees in client.run(os.path.exists, str(path)).items() if not sees]
            if blind:
                raise UserError(f"worker {blind[0]} does not see {path}; use a disk that all machines share")
        yield Workers(client.get_executor(pure=False), Event(client=client), link=client.dashboard_link)


def execute(case: Case, stop: threading.Event, threads: int | None = None) -> None:
    """Run a case in a process of its own, wait for it, and note in its folder that it ran to the end.

    Raises:
        RunFailed: if it failed, with what it said last, or was told to stop.
    """
    command = [sys.executable, "-c", "from lambdalab.cli import main; main()", "run", str(case.notebook)]
    command += ["--out", str(case.folder)]
    for name, value in case.given.items():
        command += ["-p", name, as_text(value)]
    environment = ({} if threads is None else {"OMP_NUM_THREADS": str(threads)}) | os.environ
    if stop.is_set():
        raise RunFailed("stopped")
    record, began = case.folder / "sweep.json", time.monotonic()
    record.unlink(missing_ok=True)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said}
        # In a session of its own, so that a terminal's Ctrl-C reaches it through `stop` alone.
        child = subprocess.Popen(command, cwd=case.start, env=environment, start_new_session=True, **pipes)
        _wait(child, stop)
        if child.returncode:
            said.seek(0)
            lines = said.read().split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            raise RunFailed(last.removeprefix("lambdalab: ") or f"exit code {child.returncode}")
    seconds = round(time.monotonic() - began, 3)
    write_json(record, {"notebook": case.notebook.stem, "parameters": case.values, "seconds": seconds})


def _wait(child: subprocess.Popen, stop: threading.Event) -> None:
    """Wait for a process to end; when told to stop, interrupt it as Ctrl-C does, and kill it if that does not help."""
    while True:
        try:
            child.wait(timeout=0.5)
            return
        except subprocess.TimeoutExpired:
            if not stop.is_set():
                continue
        child.send_signal(signal.SIGINT)
        try:
            child.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise RunFailed("stopped")
