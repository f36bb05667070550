"""The `lambdalab` command: what it prints, and one line for every mistake."""

import dataclasses
import json
import subprocess
import sys
import types
from importlib.metadata import version

import nbformat
import pytest
from click.testing import CliRunner
from small_notebooks import lambdalab, make_kit, write_notebook

from lambdalab import cli
from lambdalab.errors import UserError


@pytest.fixture
def kit(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path / "kit"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return make_kit(tmp_path / "kit")


def call(*arguments: str):
    return CliRunner().invoke(cli.main, arguments)


def everything_in(folder):
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'? (lambdalab --help explains)"),
        (["zzzzz"], "unknown command 'zzzzz' (lambdalab --help explains)"),
        (["--versoin"], "No such option '--versoin'. Did you mean '--version'? (lambdalab --help explains)"),
        (["run"], "missing argument NOTEBOOK (lambdalab run --help explains)"),
        (
            ["run", "06", "--uot", "x"],
            "No such option '--uot'. Did you mean '--out'? (lambdalab run --help explains)",
        ),
        (["run", "06", "-p", "epochs"], "Option '-p' requires 2 arguments."),
        (["run", "06", "--out"], "Option '--out' requires an argument."),
        (["run", "06", "extra"], "Got unexpected extra argument (extra) (lambdalab run --help explains)"),
        (["list", "extra"], "Got unexpected extra argument (extra) (lambdalab list --help explains)"),
        (
            ["run", "06_trian"],
            "unknown notebook '06_trian'; did you mean '06_train'? (lambdalab list shows all)",
        ),
        (
            ["run", "06_trian", "-h"],
            "unknown notebook '06_trian'; did you mean '06_train'? (lambdalab list shows all)",
        ),
        (
            ["run", "06", "-p", "epochz", "3"],
            "unknown parameter 'epochz' of 06_train; did you mean 'epochs'? (lambdalab run 06_train --help lists all)",
        ),
        (["run", "06", "-p", "epochs", "3.5"], "parameter 'epochs' takes int, not '3.5'"),
        (["run", "06", "-p", "flip", "maybe"], "parameter 'flip' takes bool (true or false), not 'maybe'"),
        (
            ["run", "06", "-p", "epochs", "1", "-p", "epochs", "2"],
            "parameter 'epochs' of 06_train is given twice; give it once",
        ),
        (["run", "06", "-p", "model", "huge"], "unknown model 'huge'; there are small, big"),
        (
            ["run", "06", "-p", "out", "x"],
            "the folder of a run is given as --out DIR, not as a parameter of 06_train",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2_and_writes_nothing(kit, tmp_path, arguments, line):
    before = everything_in(tmp_path)
    result = call(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"lambdalab: {line}\n")
    assert everything_in(tmp_path) == before


def test_a_mistake_in_a_real_process(kit, tmp_path):
    before = everything_in(tmp_path)
    result = lambdalab("run", "06_train", "-p", "epochz", "3", "--out", "here")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "lambdalab: unknown parameter 'epochz' of 06_train; did you mean 'epochs'?"
        " (lambdalab run 06_train --help lists all)\n"
    )
    assert everything_in(tmp_path) == before


def test_a_folder_in_the_way_is_one_line(kit, tmp_path):
    (tmp_path / "taken").write_text("")
    result = call("run", "06", "--out", "taken")
    assert result.exit_code == 2
    assert result.stderr.startswith("lambdalab: cannot write into the folder ") and result.stderr.count("\n") == 1


def test_run_prints_where_the_result_is_and_how_good_it_got_and_no_noise(kit, tmp_path):
    path = kit / "notebooks" / "06_train.ipynb"
    without_ids = json.loads(path.read_text())  # which nbformat warns about
    for cell in without_ids["cells"]:
        del cell["id"]
    path.write_text(json.dumps(without_ids))
    result = lambdalab("run", "06_train", "-p", "epochs", "7", "-p", "limit", "none", "--out", "mine/first")
    assert result.stdout == "06_train: mine/first/06_train.ipynb\n98.4 % of the digits\n"
    assert result.stderr == "running 06_train (4 cells)\n"
    assert result.returncode == 0
    values = json.loads((tmp_path / "mine/first/values.json").read_text())
    assert values == ["small", 7, 0.1, True, [3, 5], None, str(tmp_path / "mine" / "first")]


def test_run_without_a_folder_makes_one_named_after_notebook_and_time(kit):
    result = call("run", "00")
    assert result.exit_code == 0
    (made,) = (kit / "runs").glob("00_start_here-*")
    assert result.stdout == f"00_start_here: kit/runs/{made.name}/00_start_here.ipynb\n"
    nbformat.validate(nbformat.read(made / "00_start_here.ipynb", as_version=4))


@pytest.mark.parametrize(
    ("cell", "code", "told"),
    [
        ("1 / 0", 1, "lambdalab: x, cell 1: ZeroDivisionError: division by zero (the notebook so far is "),
        (
            "class UserError(ValueError): ...\nraise UserError('no such\\npicture')",
            2,
            "lambdalab: no such picture\n",
        ),
    ],
)
def test_what_a_cell_raises_is_one_line(kit, cell, code, told):
    result = call("run", str(write_notebook(kit / "x.ipynb", cell)), "--out", "out")
    assert result.exit_code == code
    assert result.stdout == ""
    first, second = result.stderr.splitlines(keepends=True)
    assert first == "running x (1 cells)\n"
    assert second.startswith(told)


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (UserError("wrong"), 2, "lambdalab: wrong\n"),
        (KeyboardInterrupt(), 130, "lambdalab: stopped\n"),
        (KeyboardInterrupt("stopped in x"), 130, "lambdalab: stopped in x\n"),
    ],
)
def test_what_the_library_raises_is_one_line(kit, monkeypatch, raised, code, line):
    def refuse():
        raise raised

    monkeypatch.setattr("lambdalab.notebooks.list_notebooks", refuse)
    result = call("list")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", line)


def test_a_defect_of_the_library_is_not_hidden(kit, monkeypatch):
    monkeypatch.setattr("lambdalab.notebooks.list_notebooks", lambda: 1 / 0)
    assert isinstance(call("list").exception, ZeroDivisionError)


def test_list_shows_every_notebook_with_purpose_and_minutes(kit):
    result = call("list")
    assert result.exit_code == 0
    assert ["06_train", "the", "training", "loop", "1.5", "40"] in [line.split() for line in result.stdout.splitlines()]
    assert ["00_start_here", "Start", "here", "?", "?"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_a_notebook_shows_its_parameters(kit, option):
    result = call("run", "06", option)
    assert result.exit_code == 0
    rows = [line.split(maxsplit=3) for line in result.stdout.splitlines()]
    assert ["epochs", "int", "2", "passes over the training set; epochs = 0 only evaluates"] in [
        [cell.strip() for cell in row] for row in rows
    ]
    assert ["scopes", "list[int]", "[3,", "5]"] in [[cell.strip() for cell in row] for row in rows]
    assert ["limit", "int", "|", "None   none"] in [[cell.strip() for cell in row] for row in rows]
    assert "the training loop" in result.stdout
    assert "lambdalab run 06_train -p model small -p epochs 2" in result.stdout
    assert not any(row[:1] == ["out"] for row in rows), "the folder is given by --out"


def test_help_of_a_notebook_without_parameters(kit):
    assert "This notebook has no parameters." in call("run", "00", "--help").stdout


@pytest.mark.parametrize("arguments", [[], ["-h"], ["run", "--help"], ["list", "-h"], ["doctor", "--help"]])
def test_help_is_no_mistake(arguments):
    result = call(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: lambdalab")


def test_help_loads_nothing_heavy():
    program = "import sys\nfrom lambdalab.cli import main\ntry: main(['run', '-h'])\nexcept SystemExit: pass\n"
    heavy = ("torch", "numpy", "papermill", "nbformat", "matplotlib", "rich")
    result = subprocess.run(
        [sys.executable, "-c", f"{program}print([name for name in {heavy} if name in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "[]"


@dataclasses.dataclass
class Check:
    name: str
    ok: bool
    detail: str
    remedy: str = ""


@pytest.mark.parametrize("broken", [False, True])
def test_doctor_tells_what_is_broken_and_how_to_repair_it(monkeypatch, broken):
    found = [
        Check("Python", True, "3.11 [64 bit]"),
        Check("torch", not broken, "2.15", "run make again" * broken),
    ]
    monkeypatch.setitem(sys.modules, "lambdalab.doctor", types.SimpleNamespace(checks=lambda: found))
    result = call("doctor")
    assert result.exit_code == broken
    assert "3.11 [64 bit]" in result.stdout
    assert ("torch: run make again" in result.stdout) == broken
    result = call("doctor", "--json")
    assert result.exit_code == broken
    assert json.loads(result.stdout) == [dataclasses.asdict(check) for check in found]


def test_version_is_the_installed_one():
    assert call("--version").stdout == f"lambdalab {version('lambdalab')}\n"
