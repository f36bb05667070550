"""The Makefile's set-up, with stand-ins for uv and pip: when it runs, and what it repairs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
OLD_PYTHON = f"""#!/bin/sh
[ "$1" != --version ] || {{ echo Python 3.9.18; exit; }}
exec "{sys.executable}" -c 'import sys; sys.version_info = (3, 9, 18); exec(sys.argv[-1])' "$@"
"""
# Finds a package if .venv/ holds a file of its name.
VENV_PYTHON = f"""#!/bin/sh
exec "{sys.executable}" -c 'import os, sys, importlib.util as u
u.find_spec = lambda name: os.path.exists(".venv/" + name)
exec(sys.argv[-1])' "$@"
"""
UV = """#!/bin/sh
echo "$*" >> "$UV_CALLS"
case "$1 $2" in
  venv*) mkdir -p .venv/bin; cp "$STAND_INS/venv_python" .venv/bin/python;;
  "pip install") [ ! -e "$UV_FAILS" ] || exit 9; : > .venv/torch; : > .venv/lambdalab;;
esac
"""


@pytest.fixture(params=["kit", "a kit in a folder with spaces"])
def kit(tmp_path, request):
    """A checkout with the files that the set-up reads, and a PATH with a python3 and a uv of our own."""
    folder, stand_ins = tmp_path / request.param, tmp_path / "bin"
    folder.mkdir()
    stand_ins.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    for tool in ("make", "sh", "cat", "rm", "mkdir", "cp"):
        (stand_ins / tool).symlink_to(shutil.which(tool))
    write(stand_ins / "python3", PYTHON)
    write(stand_ins / "venv_python", VENV_PYTHON)
    write(stand_ins / "uv", UV)
    return Kit(folder, stand_ins)


def write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


class Kit:
    """Runs make in a checkout and tells what uv was called with."""

    def __init__(self, folder: Path, stand_ins: Path) -> None:
        self.folder, self.stand_ins = folder, stand_ins
        self.calls_file, self.uv_fails = stand_ins / "calls", stand_ins / "fails"

    @property
    def ready(self) -> Path:
        return self.folder / ".venv/.ready"

    def make(self) -> subprocess.CompletedProcess:
        """Do the set-up alone, which every target but help, lock and clean asks for first."""
        self.calls_file.unlink(missing_ok=True)
        environment = {
            "PATH": str(self.stand_ins),
            "STAND_INS": str(self.stand_ins),
            "UV_CALLS": str(self.calls_file),
            "UV_FAILS": str(self.uv_fails),
        }
        return subprocess.run(
            ["make", ".venv/.ready"], cwd=self.folder, env=environment, capture_output=True, text=True
        )

    @property
    def calls(self) -> list[str]:
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [" ".join(line.split()[:2]) for line in lines if not line.startswith("--version")]


def test_sets_up_once_and_then_not_again(kit):
    assert kit.make().returncode == 0
    assert kit.ready.is_file()
    assert [call.split()[0] for call in kit.calls] == ["venv", "pip", "pip"]
    assert kit.make().returncode == 0
    assert kit.calls == []


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_brings_a_healthy_environment_up_to_date(kit, changed):
    kit.make()
    os.utime(kit.folder / changed, (kit.ready.stat().st_mtime + 5,) * 2)
    assert kit.make().returncode == 0
    assert kit.calls == ["pip install", "pip install"]


def test_makes_anew_what_was_interrupted(kit):
    kit.uv_fails.touch()
    failed = kit.make()
    assert failed.returncode != 0
    assert not kit.ready.exists()
    (kit.folder / ".venv/leftover").touch()
    kit.uv_fails.unlink()
    assert kit.make().returncode == 0
    assert kit.ready.is_file() and not (kit.folder / ".venv/leftover").exists()


def test_an_interrupted_update_leaves_no_environment_that_looks_ready(kit):
    kit.make()
    os.utime(kit.folder / "requirements.lock", (kit.ready.stat().st_mtime + 5,) * 2)
    kit.uv_fails.touch()
    assert kit.make().returncode != 0
    assert not kit.ready.exists()


@pytest.mark.parametrize("damage", ["no python", "dead python", "torch lost", "lambdalab lost", "moved"])
def test_makes_anew_what_is_broken(kit, damage):
    kit.make()
    if damage == "no python":
        (kit.folder / ".venv/bin/python").unlink()
    elif damage == "dead python":
        write(kit.folder / ".venv/bin/python", "#!/nowhere/python\n")
    elif damage.endswith("lost"):
        (kit.folder / ".venv" / damage.split()[0]).unlink()
    else:
        kit.folder = kit.folder.rename(kit.folder.parent / "elsewhere")
    assert kit.make().returncode == 0
    assert [call.split()[0] for call in kit.calls] == ["venv", "pip", "pip"]


@pytest.mark.parametrize("found", ["Python 3.9.18", None])
def test_says_in_one_line_that_python_is_too_old_or_missing(kit, found):
    (kit.stand_ins / "python3").unlink()
    if found:
        write(kit.stand_ins / "python3", OLD_PYTHON)
    refused = kit.make()
    assert refused.returncode != 0
    own_lines = [line for line in refused.stderr.splitlines() if not line.startswith("make")]
    assert own_lines == [f"lambdalab needs Python 3.11 or newer; found {found or 'no python3'}."]
    assert kit.calls == [] and not (kit.folder / ".venv").exists()


def test_takes_a_newer_python_when_python3_is_old(kit):
    write(kit.stand_ins / "python3", OLD_PYTHON)
    write(kit.stand_ins / "python3.12", PYTHON)
    assert kit.make().returncode == 0
    assert "python3.12" in kit.calls_file.read_text()


@pytest.mark.parametrize("works", [True, False])
def test_gets_uv_where_there_is_none(kit, works):
    (kit.stand_ins / "uv").rename(kit.stand_ins / "kept")
    venv = f'mkdir -p .uv/bin; cp "{kit.stand_ins}/fakepip" .uv/bin/python' if works else "exit 1"
    write(kit.stand_ins / "fakepip", f'#!/bin/sh\ncp "{kit.stand_ins}/kept" .uv/bin/uv\n')
    write(
        kit.stand_ins / "python3",
        f'#!/bin/sh\nif [ "$1 $2" = "-m venv" ]; then {venv}; else {PYTHON[10:-1]}; fi\n',
    )
    made = kit.make()
    assert (made.returncode == 0) == works == kit.ready.exists()
    if not works:
        assert "lambdalab could not get uv; install uv" in made.stderr
        assert not (kit.folder / ".uv/bin/uv").exists()
