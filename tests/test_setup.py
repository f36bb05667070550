"""The set-up's files agree with each other and hold nothing of the machine they were made on."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn", "jupyter-client": "jupyter_client", "pyyaml": "yaml"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_LOADED = [
    "matplotlib",
    "ipywidgets",
    "papermill",
    "pandas",
    "xarray",
    "anywidget",
    "torchvision",
    "accelerate",
    "PIL",
    "sklearn",
]


def declared() -> dict[str, Requirement]:
    """Return what pyproject.toml requires, for users and for developers, by name."""
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    return {need.name: need for need in map(Requirement, lines)}


def locked() -> dict[str, list[str]]:
    """Return the versions in requirements.lock by name; there are several where they depend on the Python."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M
    ):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def conda() -> dict[str, str]:
    """Return the lines of environment.yml by PyPI name, pip's included."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    lines = [line for entry in entries for line in (entry["pip"] if isinstance(entry, dict) else [entry])]
    names = {line: re.match(r"\w[\w-]*|", line)[0] for line in lines}
    return {CONDA_NAMES.get(name, name): line for line, name in names.items()}


def tracked_files() -> list[Path]:
    """Return the files that git has or would add."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout: no list of the project's own files")
    return [ROOT / name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("need", declared().values(), ids=str)
def test_each_requirement_is_locked_in_a_version_it_admits(need):
    versions = locked().get(need.name, [])
    assert versions and all(need.specifier.contains(version) for version in versions)


def test_lock_was_made_from_this_pyproject():
    entries = re.split(r"\n(?=[\w.-]+==)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    direct = {re.match(r"[\w.-]+", entry)[0] for entry in entries if "lambdalab (pyproject.toml)" in entry}
    assert direct == set(declared())


def test_lock_is_hashed_and_has_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[\w.-]+==)", text)[1:]
    assert len(entries) == sum(map(len, locked().values())) > 100
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry) for entry in entries)
    assert not re.search(r"://|--index|--extra-index|--find-links| @ ", text)


def test_torch_is_the_pair_that_matches():
    assert (locked()["torch"], locked()["torchvision"]) == (["2.15.0"], ["0.29.2"])


def test_environment_has_the_same_ranges_and_nothing_else():
    lines = conda()
    assert lines.pop("python") == "python" + PROJECT["requires-python"]
    assert lines.pop("pip") == "pip" and lines.pop("") == "-e ."
    ranges = {name: Requirement(line).specifier for name, line in lines.items()}
    assert ranges == {name: need.specifier for name, need in declared().items()}


@pytest.mark.parametrize("name", sorted(set(declared()) - {"setuptools"}))
def test_environment_says_who_needs_each(name):
    line = conda()[name]
    comment = re.search(rf"- {re.escape(line)} +# (.+)", (ROOT / "environment.yml").read_text(encoding="utf-8"))[1]
    files, targets = re.findall(r"\w+/[\w/]+\.\w+", comment), re.findall(r"make (\w+)", comment)
    assert files or targets or re.search(r"notebook|tests/", comment)
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M) for target in targets)
    module = MODULES.get(name, name)
    for file in files:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert file.endswith(".ipynb") or re.search(rf"^ *(import|from) {module}\b", source, re.M), file


def test_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", makefile, re.M)[1].split()) - {"always"}
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"^  make (\w+) +\S", shown, re.M)) == targets
    assert targets == {"help", "run", "test", "lab", "lint", "format", "lock", "notebooks", "site", "wheel", "clean"}


def test_ci_ends_with_the_command_of_the_readme():
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == "exec make test"
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert re.search(r"^(\$ )?make test\b", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)


def test_no_file_holds_a_machines_path_or_a_lock_with_addresses():
    files = tracked_files()
    assert not {file.name for file in files} & {"uv.lock", "pylock.toml", "poetry.lock", "package-lock.json"}
    path = re.compile(rb"(?<![\w.])/(?:root|work|home|Users)/[\w.-]+")
    found = {str(file.relative_to(ROOT)): path.findall(file.read_bytes()) for file in files if is_text(file)}
    assert {name: paths for name, paths in found.items() if paths} == {}


def is_text(file: Path) -> bool:
    try:
        file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_imports_go_from_bottom_to_top_as_contributing_says():
    table = re.findall(r"^\| [\w ]+ \| (`.+`) \|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    order = re.findall(r"`(\w+)/?`", "".join(table))
    modules = {file.stem: file.read_text(encoding="utf-8") for file in (ROOT / "lambdalab").glob("[!_]*.py")}
    for file in (ROOT / "lambdalab").glob("*/*.py"):
        modules[file.parent.name] = modules.get(file.parent.name, "") + file.read_text(encoding="utf-8")
    assert set(order) ^ set(modules) == set(), "CONTRIBUTING.md lists each module once"
    assert len(order) == len(set(order))
    for module, source in modules.items():
        from_modules = re.findall(r"^ *from lambdalab\.(\w+)[\w.]* import", source, re.M)
        from_package = re.findall(r"^ *from lambdalab import (.+)$", source, re.M)
        imported = {*from_modules, *re.findall(r"\w+", " ".join(from_package))}
        assert imported - {module} <= set(order[: order.index(module)]), module


def test_importing_the_library_loads_nothing_but_torch():
    program = f"import sys, lambdalab; print([name for name in {NOT_LOADED} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
