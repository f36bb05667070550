"""What a result may depend on besides its configuration: versions, processor or GPU, threads, the kit's commit."""

import platform
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import torch

from lambdalab import compiled
from lambdalab.paths import checkout
from lambdalab.processes import count_processes


def environment() -> dict:
    """Return what a result may depend on: versions, processor or GPU, threads, the compiled kernel, the commit."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "processes": count_processes(),
        "cuda": torch.version.cuda if gpu else None,
        "gpu": gpu,
        "compiled": compiled.runs(torch.float32),
        "commit": _commit(checkout()),
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name; ``cpuinfo`` is where Linux keeps it."""
    named = re.search(r"(?m)^model name\s*:\s*(.+)$", cpuinfo.read_text()) if cpuinfo.is_file() else None
    return named[1] if named else platform.processor() or platform.machine()


@lru_cache
def _commit(folder: Path | None) -> str | None:
    """Return a checkout's commit when it is first asked for: later ones are not the code that this process runs.

    A wheel has none, though it may lie inside another project's repository.
    """
    if folder is None:
        return None
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
