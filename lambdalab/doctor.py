"""What this machine has, and what is broken: one small function a finding, nothing that prints."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from lambdalab.errors import UserError
from lambdalab.findings import SET_UP_AGAIN, Broken, Check, brief, finding
from lambdalab.paths import cache_dir, notebooks_dir, runs_dir

_HIDE_GPU = "or hide it: CUDA_VISIBLE_DEVICES=-1"
_GIB = 2**30


def checks() -> list[Check]:
    """Return all findings about this machine, the Python that runs this, and the kit's folders."""
    return [
        check_python(sys.version_info[:3], sys.executable),
        check_torch(),
        check_packages("lambdalab", metadata.version),
        check_cpu(Path("/proc/cpuinfo")),
        check_memory(),
        check_gpu(shutil.which("nvidia-smi"), os.environ),
        check_kernel(_kernel_command, sys.executable),
        check_notebooks(notebooks_dir()),
        check_digits(),
        check_cifar10(cache_dir() / "cifar10"),
        check_folders(cache_dir()),
        check_runs(runs_dir()),
    ]


@finding("Python")
def check_python(version: tuple[int, int, int], executable: str) -> str:
    """Is this Python new enough?"""
    detail = f"{'.'.join(map(str, version))} ({executable})"
    if version < (3, 11):
        raise Broken(detail, f"install Python 3.11 or newer, then {SET_UP_AGAIN}")
    return detail


@finding("torch")
def check_torch() -> str:
    """Do torch and torchvision load, and does one of torchvision's operators run on this torch's tensors?"""
    import torch
    import torchvision

    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])
    try:
        kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    except RuntimeError as error:
        raise Broken(f"{versions} do not match: {brief(error)}") from error
    if kept != [0, 2]:
        raise Broken(f"{versions} compute nonsense: nms keeps {kept}, not [0, 2]")
    return versions


@finding("packages")
def check_packages(project: str, version_of: Callable[[str], str | None]) -> str:
    """Is every package that the project requires installed, in a version that it admits?"""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in metadata.requires(project) or []]
    except metadata.PackageNotFoundError:
        remedy = "in the checkout: uv pip install --no-deps --no-build-isolation --editable ."
        raise Broken(f"{project} itself is not installed", remedy) from None
    needed = [need for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    wrong = []
    for need in needed:
        try:
            version = version_of(need.name)  # None where an interrupted installation left no version
        except metadata.PackageNotFoundError:
            version = None
        if version is None:
            wrong.append(f"{need.name} is missing")
        elif not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version} is not {need.specifier}")
    if wrong:
        raise Broken(", ".join(wrong))
    return f"all {len(needed)} that {project} requires"


@finding("CPU")
def check_cpu(cpuinfo: Path) -> str:
    """Is there a core for each of torch's threads, and the compiled kernel, if asked for? `cpuinfo` is Linux's."""
    import torch

    from lambdalab import compiled
    from lambdalab.environment import processor

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    detail = f"{processor(cpuinfo)}, {cores} usable cores, {threads} torch threads"
    if threads > cores:
        raise Broken(detail, f"more threads than cores wait for each other: set OMP_NUM_THREADS={cores}")
    try:
        if not compiled.wanted():
            return detail
        compiled.library(torch.float32)
    except (UserError, compiled.CannotCompile) as error:
        raise Broken(f"{detail}; {error}", f"repair that, or unset {compiled.VARIABLE}") from error
    return f"{detail}, the compiled kernel"


@finding("memory")
def check_memory() -> str:
    """Is there room for a notebook's kernel and a small training?"""
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free"
    if memory.available < _GIB:
        raise Broken(detail, "close other programs: torch and a notebook need 1 GiB")
    if memory.available < 4 * _GIB:
        detail += "; little: close other programs, or train with a smaller batch"
    return detail


@finding("GPU")
def check_gpu(nvidia_smi: str | None, environment: Mapping[str, str]) -> str:
    """Does the GPU, if there is one, compute? None at all is fine, a driver that torch cannot use is not."""
    import torch

    if torch.cuda.is_available():
        return _try_gpu()
    if torch.backends.mps.is_available():
        return "Apple's (mps)"
    if nvidia_smi is None:
        return "CPU only"
    if environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CPU only (CUDA_VISIBLE_DEVICES hides the GPU)"
    detail = f"an NVIDIA driver ({nvidia_smi}) that torch {torch.__version__} cannot use"
    if torch.version.cuda is None:
        raise Broken(f"{detail}: it is built for CPUs", f"{SET_UP_AGAIN}, {_HIDE_GPU}")
    raise Broken(detail, f"update the driver to one for CUDA {torch.version.cuda}, {_HIDE_GPU}")


def _try_gpu() -> str:
    import torch

    try:
        device = torch.cuda.get_device_properties(0)
        ones = torch.ones(64, 64, device="cuda")
        right = bool(((ones @ ones) == 64).all())
    except RuntimeError as error:
        remedy = f"use a torch and a driver made for this GPU, {_HIDE_GPU}"
        raise Broken(brief(error), remedy) from error
    count = torch.cuda.device_count()
    detail = f"{f'{count} × ' if count > 1 else ''}{device.name}, {device.total_memory / _GIB:.0f} GiB"
    if not right:
        raise Broken(f"{detail}, computes a wrong product", f"restart the machine, {_HIDE_GPU}")
    return detail


@finding("kernel")
def check_kernel(command_of: Callable[[str], list[str]], executable: str) -> str:
    """Does Jupyter's kernel `python3`, which the notebooks name, run this very Python?"""
    remedy = f"{executable} -m ipykernel install --sys-prefix, and start Jupyter from this environment"
    try:
        program = command_of("python3")[0]
    except LookupError as error:
        raise Broken(f"no Jupyter kernel python3 ({brief(error)})", remedy) from error
    # Jupyter replaces these names by the Python it runs on; two names in one folder are one environment.
    generic = re.fullmatch(r"python(3(\.\d+)?)?", program)
    if not generic and Path(program).parent != Path(executable).parent:
        raise Broken(f"python3 runs another Python, {program}", remedy)
    return f"python3 runs {executable}"


def _kernel_command(name: str) -> list[str]:
    from jupyter_client.kernelspec import KernelSpecManager

    return KernelSpecManager().get_kernel_spec(name).argv


@finding("notebooks")
def check_notebooks(folder: Path) -> str:
    """Are the notebooks where the kit looks for them?"""
    found = len(list(folder.glob("[!.]*.ipynb")))
    if not found:
        remedy = "run lambdalab init FOLDER and cd FOLDER, or set LAMBDALAB_HOME to the course's folder"
        raise Broken(f"none in {folder}", remedy)
    return f"{found} in {folder}"


@finding("digits")
def check_digits() -> str:
    """Do the handwritten digits that come with scikit-learn, the default dataset, load?"""
    from sklearn.datasets import load_digits

    return f"{len(load_digits().target):,} pictures, with scikit-learn"


@finding("cifar10")
def check_cifar10(folder: Path) -> str:
    """Is CIFAR-10 there? Nothing is broken if not."""
    from lambdalab.pictures import check_cifar10

    try:
        check_cifar10(folder)
    except UserError:
        return "absent; load_data('cifar10', download=True) fetches it once (170 MB)"
    return f"in {folder}"


@finding("folders")
def check_folders(cache: Path) -> str:
    """Which folders of pictures lie in the cache? None need be there, but what is there is to be whole."""
    from lambdalab.pictures import check_folder

    found = []
    for folder in sorted(path.parent for path in cache.glob("*/train")):
        try:
            files, classes = check_folder(folder)
        except UserError as error:
            raise Broken(f"{folder} cannot be used", str(error)) from error
        found.append(f"{folder.name} ({sum(map(len, files.values())):,} pictures, {len(classes)} classes)")
    return ", ".join(found) or "none; the dataset 'folder' reads DIR/train/CLASS/*.png"


@finding("runs")
def check_runs(folder: Path) -> str:
    """Can a run write there? The folder itself need not exist yet."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            free = shutil.disk_usage(nearest).free
    except OSError as error:
        remedy = f"make {nearest} writable, or choose another folder with --out"
        raise Broken(f"cannot write into {nearest} ({error.strerror})", remedy) from error
    return f"{folder} is writable, {free / _GIB:.0f} GiB free"
