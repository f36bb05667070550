"""The wheel: it carries the course, and whoever has nothing but it can work."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from test_setup import ROOT, tracked_files

# What of docs/ reads well without the site.
GUIDE = re.compile(r"docs/(course|faq|glossary|teaching/\d\d_\w+)\.md")


def course_files(names: set[str]) -> set[str]:
    """Return what a learner gets, of the project's files."""
    folders = ("configs/", "data/", "notebooks/")
    # Hidden files are the tools'; the exercises' source has the solutions marked in it.
    carried = {name for name in names if name.startswith(folders) and not re.search(r"/\.|/source/", name)}
    return carried | set(filter(GUIDE.fullmatch, names))


def build(kind: str, folder: Path, out: Path) -> Path:
    """Build a wheel or an sdist from the sources in a folder as pip and uv do, with the setuptools that is here."""
    program = f"import sys, setuptools.build_meta as backend; backend.build_{kind}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(out)], cwd=folder, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def files():
    """The names of the project's own files."""
    return {path.relative_to(ROOT).as_posix() for path in tracked_files()}


@pytest.fixture(scope="module")
def sources(files, tmp_path_factory):
    """A copy of these files, where nothing is left from another build."""
    folder = tmp_path_factory.mktemp("sources")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def sdist(sources, tmp_path_factory):
    return build("sdist", sources, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel as it comes from the sdist."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    return build("wheel", folder, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel alone, which borrows what it depends on from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, wheel], check=True)
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # Searched after its own packages; and the editable install's own .pth is not read there.
    Path(own.stdout.strip(), "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def lambdalab(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the installed command in a folder, with nothing that points to a course."""
    environment = {name: value for name, value in os.environ.items() if name not in ("LAMBDALAB_HOME", "PYTHONPATH")}
    command = [python.with_name("lambdalab"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_wheel_is_the_library_and_the_course_and_nothing_else(wheel, files):
    library = {name for name in files if name.startswith("lambdalab/")}
    course = {f"lambdalab/_course/{name}" for name in course_files(files)}
    assert {f"lambdalab/_course/notebooks/{name}.ipynb" for name in ("00_start_here", "06_train")} < course
    info = {name for name in names_in(wheel) if name.startswith("lambdalab-")}
    assert names_in(wheel) - info == library | course


def test_a_wheel_without_an_sdist_is_the_same(sources, wheel, tmp_path):
    assert names_in(build("wheel", sources, tmp_path)) == names_in(wheel)


def test_sdist_has_what_the_readme_shows_and_the_tests_need(sdist, files):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "docs/overview.png", "conftest.py", "setup.py", "LICENSE"} <= names
    assert {name for name in files if name.startswith(("tests/", "notebooks/", "docs/"))} <= names


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(name))
    assert (metadata.name, metadata.license_expression, str(metadata.requires_python)) == ("lambdalab", "MIT", ">=3.11")
    assert metadata.description.startswith("# lambdalab") and metadata.summary


def test_outside_a_course_one_line_says_how_to_get_one(installed, tmp_path):
    for arguments in (["list"], ["tables"]):
        told = lambdalab(installed, tmp_path, *arguments)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.count("\n") == 1 and "run lambdalab init FOLDER" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_course_works_where_only_the_wheel_is(installed, files, tmp_path):
    where = "import lambdalab; print(lambdalab.__file__)"
    imported = subprocess.run([installed, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(imported.stdout.strip()).is_relative_to(installed.parent.parent)
    module = subprocess.run([installed, "-m", "lambdalab", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert module.stdout == lambdalab(installed, tmp_path, "--version").stdout != ""

    made = lambdalab(installed, tmp_path, "init", "course")
    assert made.returncode == 0 and "Next: cd course && jupyter lab" in made.stdout
    course, below = tmp_path / "course", tmp_path / "course" / "notebooks"
    shipped = {name for name in course_files(files) if "solutions/" not in name}
    there = {path.relative_to(course).as_posix() for path in course.rglob("*") if path.is_file()}
    assert there == shipped | {"README.md", ".lambdalab-course.json"}

    assert "06_train" in lambdalab(installed, below, "list").stdout
    assert "CCLL" in lambdalab(installed, below, "tables", "hybrids").stdout
    assert "resnet11_tiny" in lambdalab(installed, course, "results").stdout
    ran = lambdalab(installed, course, "run", "00_start_here", "--out", "runs/first")
    assert ran.stdout.startswith("00_start_here: runs/first/00_start_here.ipynb"), ran.stderr
    assert (course / "runs" / "first" / "00_start_here.ipynb").is_file()


def test_a_kernel_of_colab_enters_the_course(installed, tmp_path):
    program = """
from pathlib import Path
from lambdalab.course_folder import enter_course
enter_course("lambdalab-course")
from lambdalab.notebooks import find_notebook
print(find_notebook("06").relative_to(Path.cwd()))
"""
    entered = subprocess.run([installed, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert entered.stdout == "06_train.ipynb\n", entered.stderr
