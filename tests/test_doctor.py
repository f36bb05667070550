"""Every check of `lambdalab doctor`, on a sound machine and with the thing it looks at broken."""

import os
import sys
from dataclasses import FrozenInstanceError
from importlib import metadata
from types import SimpleNamespace

import psutil
import pytest
import torch
import torchvision

from lambdalab import compiled, doctor
from lambdalab.doctor import Check

GIB = 2**30


def broken(check: Check, *words: str) -> bool:
    """Is this a failure whose one-line detail and remedy say all these words?"""
    told = f"{check.detail} {check.remedy}"
    return not check.ok and bool(check.remedy) and "\n" not in told and all(word in told for word in words)


def sound(check: Check, *words: str) -> bool:
    return check.ok and check.remedy == "" and "\n" not in check.detail and all(word in check.detail for word in words)


def test_checks_cover_what_the_kit_needs_and_print_nothing(capsys):
    found = doctor.checks()
    assert capsys.readouterr() == ("", "")
    assert [check.name for check in found] == [
        *("Python", "torch", "packages", "CPU", "memory", "GPU", "kernel", "notebooks"),
        *("digits", "cifar10", "folders", "runs"),
    ]
    assert all(check.ok == (check.remedy == "") for check in found)
    with pytest.raises(FrozenInstanceError):
        found[0].ok = False


def test_python():
    assert sound(doctor.check_python((3, 11, 0), "python"), "3.11.0")
    assert broken(doctor.check_python((3, 10, 13), "python"), "3.10.13", "3.11 or newer")


def test_torch_that_works():
    assert sound(doctor.check_torch(), torch.__version__, torchvision.__version__)


def test_torchvision_without_its_operators(monkeypatch):
    def nms(*_):
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setattr(torchvision.ops, "nms", nms)
    assert broken(doctor.check_torch(), "torchvision::nms", "do not match", ".venv")


def test_torchvision_that_computes_nonsense(monkeypatch):
    monkeypatch.setattr(torchvision.ops, "nms", lambda *_: torch.tensor([0, 1, 2]))
    assert broken(doctor.check_torch(), "nonsense")


def test_torchvision_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert broken(doctor.check_torch(), "torchvision", ".venv")


def test_without_torch_the_other_checks_still_come(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = {check.name: check for check in doctor.checks()}
    assert broken(found["torch"], "torch", ".venv") and broken(found["GPU"], "torch", ".venv")
    assert found["Python"].ok and found["memory"].ok


def requires(*lines: str):
    return lambda project: list(lines)


def version_of(name: str) -> str | None:
    versions = {"here": "2.1", "old": "0.9", "local": "2.11.0+cu130", "half": None}
    if name not in versions:
        raise metadata.PackageNotFoundError(name)
    return versions[name]


def test_packages_that_are_there(monkeypatch):
    lines = ("here>=2", "local>=2.11", 'lost>1; extra == "dev"', 'lost>1; python_version < "3"')
    monkeypatch.setattr(metadata, "requires", requires(*lines))
    assert sound(doctor.check_packages("kit", version_of), "all 2 ")


@pytest.mark.parametrize(
    ("line", "told"),
    [("lost", "lost is missing"), ("half>=1", "half is missing"), ("old>=1", "old 0.9 is not >=1")],
)
def test_packages_missing_or_old(monkeypatch, line, told):
    monkeypatch.setattr(metadata, "requires", requires("here", line))
    found = doctor.check_packages("kit", version_of)
    assert broken(found, told, ".venv") and "here" not in found.detail


def test_kit_itself_not_installed():
    assert broken(doctor.check_packages("no-such-kit", version_of), "no-such-kit", "--editable")


def test_cpu(monkeypatch, tmp_path):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast 9000\nprocessor\t: 1\nmodel name\t: Other\n")
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    assert sound(doctor.check_cpu(cpuinfo), "Fast 9000, ", f"{cores} usable cores, {cores} torch threads")
    assert sound(doctor.check_cpu(tmp_path / "absent"), "usable cores")
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores + 1)
    assert broken(doctor.check_cpu(cpuinfo), f"OMP_NUM_THREADS={cores}")


def test_compiled_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert "kernel" not in doctor.check_cpu(tmp_path).detail
    monkeypatch.setenv(compiled.VARIABLE, "1")
    monkeypatch.setattr(compiled, "library", lambda dtype: None)
    assert sound(doctor.check_cpu(tmp_path), "compiled kernel")
    monkeypatch.setattr(compiled, "library", fails_to_compile)
    assert broken(doctor.check_cpu(tmp_path), "no compiler", f"unset {compiled.VARIABLE}")
    monkeypatch.setenv(compiled.VARIABLE, "maybe")
    assert broken(doctor.check_cpu(tmp_path), "'maybe'", f"unset {compiled.VARIABLE}")


def fails_to_compile(dtype):
    raise compiled.CannotCompile("no compiler")


def test_memory(monkeypatch):
    def available(gib: float) -> None:
        memory = SimpleNamespace(total=16 * GIB, available=gib * GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    available(9)
    assert sound(doctor.check_memory(), "9.0 of 16.0 GiB") and "little" not in doctor.check_memory().detail
    available(3)
    assert sound(doctor.check_memory(), "little", "smaller batch")
    available(0.5)
    assert broken(doctor.check_memory(), "0.5 of 16.0 GiB", "close other programs")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_no_gpu(no_gpu, monkeypatch):
    assert sound(doctor.check_gpu(None, {}), "CPU only")
    assert sound(doctor.check_gpu("bin/nvidia-smi", {"CUDA_VISIBLE_DEVICES": ""}), "CPU only", "hides")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert sound(doctor.check_gpu(None, {}), "mps")


@pytest.mark.parametrize(("built_for", "told"), [(None, "built for CPUs"), ("13.2", "driver to one for CUDA 13.2")])
def test_driver_that_torch_cannot_use(no_gpu, monkeypatch, built_for, told):
    monkeypatch.setattr(torch.version, "cuda", built_for)
    assert broken(doctor.check_gpu("bin/nvidia-smi", {}), "bin/nvidia-smi", told)


def test_gpu_that_does_not_compute(monkeypatch):
    def fail(_):
        raise RuntimeError("CUDA error:\nno kernel image is available")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fail)
    assert broken(doctor.check_gpu("bin/nvidia-smi", {}), "no kernel image", "driver")


@pytest.mark.gpu
def test_gpu_that_computes():
    assert sound(doctor.check_gpu("bin/nvidia-smi", {}), torch.cuda.get_device_name(), "GiB")


def test_kernel(tmp_path):
    ours = str(tmp_path / "env/bin/python")

    def missing(name):
        raise KeyError(name)

    for program in ("python", "python3.11", str(tmp_path / "env/bin/python3")):
        assert sound(doctor.check_kernel(lambda name, program=program: [program, "-m"], ours), ours)
    assert broken(
        doctor.check_kernel(lambda name: ["/other/bin/python"], ours),
        "/other/bin/python",
        "ipykernel install",
    )
    assert broken(doctor.check_kernel(missing, ours), "no Jupyter kernel", "ipykernel install")


def test_gpu_that_computes_wrong(monkeypatch):
    plain = torch.ones
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    device = SimpleNamespace(name="Some GPU", total_memory=8 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: device)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: plain(*shape))
    assert sound(doctor.check_gpu(None, {}), "2 × Some GPU, 8 GiB")
    monkeypatch.setattr(torch, "ones", lambda *shape, device: 2 * plain(*shape))
    assert broken(doctor.check_gpu(None, {}), "wrong product", "CUDA_VISIBLE_DEVICES")


def test_kernel_of_this_environment_is_found():
    assert doctor._kernel_command("python3")


def test_notebooks(tmp_path):
    assert broken(doctor.check_notebooks(tmp_path), "none in", "LAMBDALAB_HOME")
    assert broken(doctor.check_notebooks(tmp_path / "absent"), "LAMBDALAB_HOME")
    (tmp_path / "00_start_here.ipynb").touch()
    assert sound(doctor.check_notebooks(tmp_path), "1 in")


def test_digits(monkeypatch):
    assert sound(doctor.check_digits(), "1,797")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert broken(doctor.check_digits(), "sklearn", ".venv")


def test_cifar10(tmp_path):
    assert sound(doctor.check_cifar10(tmp_path), "absent", "download=True")
    kept = torchvision.datasets.CIFAR10
    (tmp_path / kept.base_folder).mkdir()
    for name in [name for name, _ in kept.train_list + kept.test_list] + [kept.meta["filename"]]:
        (tmp_path / kept.base_folder / name).touch()
    assert sound(doctor.check_cifar10(tmp_path), str(tmp_path))


def test_folders(tmp_path):
    assert sound(doctor.check_folders(tmp_path), "none")
    for name in ("cat", "dog"):
        for part in ("train", "val", "test"):
            (tmp_path / "mine" / part / name).mkdir(parents=True)
            (tmp_path / "mine" / part / name / "1.png").touch()
    assert sound(doctor.check_folders(tmp_path), "mine (6 pictures, 2 classes)")
    (tmp_path / "mine/train/cow").mkdir()
    assert broken(doctor.check_folders(tmp_path), "mine", "cow")


def test_writable(tmp_path):
    assert sound(doctor.check_runs(tmp_path / "runs/deeper"), "writable", "GiB free")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert broken(doctor.check_runs(tmp_path / "file"), "cannot write", "--out")


def test_read_only_folder(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert broken(doctor.check_runs(tmp_path), "Permission denied", "--out")
