"""Finding notebooks, checking what they are given before anything starts, and running them in a kernel."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from small_notebooks import PARAMETERS, WORK, command, make_kit, outputs, write_notebook

from lambdalab.errors import UserError
from lambdalab.notebooks import (
    NotebookFailed,
    check_parameters,
    find_notebook,
    list_notebooks,
    parameters_of,
    run_notebook,
)


@pytest.fixture
def kit(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path / "kit"))
    return make_kit(tmp_path / "kit")


def refusal(path: Path, *pairs: tuple[str, object]) -> str:
    with pytest.raises(UserError) as caught:
        check_parameters(path, pairs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Notebooks: finding and reading them.


def test_list_tells_what_a_notebook_says_about_itself(kit):
    write_notebook(kit / "notebooks" / ".hidden.ipynb", "1")
    start, train = list_notebooks()
    assert (start.name, start.title, start.purpose) == ("00_start_here", "Start here", "")
    assert (start.minutes_run, start.minutes_teach) == (None, None)
    assert (train.name, train.title, train.purpose) == ("06_train", "Train a network", "the training loop")
    assert (train.minutes_run, train.minutes_teach) == (1.5, 40)
    assert train.path == kit / "notebooks" / "06_train.ipynb"


def test_a_notebook_is_found_by_name_number_file_or_path(kit, tmp_path):
    expected = kit / "notebooks" / "06_train.ipynb"
    own = write_notebook(tmp_path / "mine.ipynb", "1")
    assert [find_notebook(name) for name in ("06_train", "06", "06_train.ipynb")] == [expected] * 3
    assert find_notebook(str(own)) == own


def test_an_unknown_notebook_is_refused_with_the_nearest_name(kit):
    with pytest.raises(UserError, match="unknown notebook '06_trian'; did you mean '06_train'"):
        find_notebook("06_trian")
    write_notebook(kit / "notebooks" / "06_second.ipynb", "1")
    with pytest.raises(UserError, match="unknown notebook '06'"):
        find_notebook("06")


def test_a_kit_without_notebooks_says_how_to_point_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    with pytest.raises(UserError, match="LAMBDALAB_HOME"):
        find_notebook("06_train")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"3", b"\xff\xfe", b'{"cells": [1]}', b'{"cells": [{}]}'])
def test_a_file_that_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.ipynb is not a readable notebook"):
        parameters_of(path)


# The check before anything starts.


def test_given_values_take_their_declared_types(kit):
    path = kit / "notebooks" / "06_train.ipynb"
    pairs = [("epochs", "3"), ("flip", "no"), ("limit", "none"), ("scopes", "7,9"), ("rate", 1)]
    expected = {"epochs": 3, "flip": False, "limit": None, "scopes": [7, 9], "rate": 1.0}
    assert check_parameters(path, pairs) == expected
    assert check_parameters(path, dict(pairs)) == expected


def test_a_mistake_is_refused_in_one_line(kit):
    path = kit / "notebooks" / "06_train.ipynb"
    unknown = "unknown parameter 'epochz' of 06_train; did you mean 'epochs'?"
    assert refusal(path, ("epochz", "3")) == f"{unknown} (lambdalab run 06_train --help lists all)"
    assert refusal(path, ("epochs", "3.5")) == "parameter 'epochs' takes int, not '3.5'"
    assert refusal(path, ("epochs", True)) == "parameter 'epochs' takes int, not True"
    twice = refusal(path, ("epochs", "1"), ("epochs", "1"))
    assert twice == "parameter 'epochs' of 06_train is given twice; give it once"
    assert refusal(path, ("model", "huge")) == "unknown model 'huge'; there are small, big"


def test_the_check_cell_is_silent_and_leaves_no_names_behind(kit, capfd):
    write_notebook(
        path := kit / "notebooks" / "x.ipynb",
        "# tag: parameters\nn: int = 1",
        "# tag: check\nimport sys\nassert 'seen' not in globals()\nseen = print(n), print(n, file=sys.stderr)",
    )
    assert check_parameters(path, {"n": 2}) == check_parameters(path, {"n": 2}) == {"n": 2}
    assert capfd.readouterr() == ("", "")


def test_a_broken_check_is_not_called_the_users_mistake(kit):
    path = write_notebook(kit / "notebooks" / "x.ipynb", "# tag: check\nunknown_name")
    with pytest.raises(NotebookFailed, match="the check of x failed: NameError"):
        check_parameters(path, {})


# Runs, each in a kernel.


def test_a_run_hands_over_the_values_and_keeps_the_whole_notebook(kit, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    text = 'quote " back\\slash {brace} %s\nnewline é'
    given_values = {"epochs": "3", "rate": 1e-20, "scopes": [-1], "limit": 5, "flip": False}
    out = tmp_path / "a {folder} of 100%"
    path = write_notebook(
        kit / "notebooks" / "x.ipynb",
        f"# tag: parameters{PARAMETERS}",
        "import os, sys, warnings\nwarnings.warn('careful')\nprint(sys.executable, os.getcwd())",
        WORK,
    )
    saved = run_notebook(path, given_values | {"model": text}, out.relative_to(tmp_path))
    assert saved == out / "x.ipynb"
    assert json.loads((out / "values.json").read_text()) == [text, 3, 1e-20, False, [-1], 5, str(out)]
    assert sorted(file.name for file in out.iterdir()) == ["summary.json", "values.json", "x.ipynb"]
    assert f"{sys.executable} {tmp_path}" in outputs(saved)
    assert str(kit) not in saved.read_text()
    nbformat.validate(nbformat.read(saved, as_version=4))
    assert capfd.readouterr() == ("", "running x (4 cells)\n")


@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        (
            "raise ValueError('first\\nsecond')",
            NotebookFailed,
            "x, cell 2: ValueError: first second (the notebook",
        ),
        ("import os; os._exit(1)", NotebookFailed, "x, cell 2: the kernel died"),
        (
            "from lambdalab.errors import UserError\nraise UserError('no pictures in x')",
            UserError,
            "no pictures in x",
        ),
    ],
)
def test_a_failed_run_says_what_and_where_and_keeps_the_notebook(tmp_path, cell, kind, message):
    path = write_notebook(tmp_path / "x.ipynb", "print('before')", cell, "print('after')")
    with pytest.raises(kind) as caught:
        run_notebook(path, {}, tmp_path / "out")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert kind is UserError or str(tmp_path / "out" / "x.ipynb") in str(caught.value)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["x.ipynb"]
    assert outputs(tmp_path / "out" / "x.ipynb").startswith("before\n")
    assert "after\n" not in outputs(tmp_path / "out" / "x.ipynb")


@pytest.mark.parametrize("pairs", [{"epochz": 1}, {"epochs": "x"}, {"model": "huge"}, {"out": "elsewhere"}])
def test_a_refused_run_writes_nothing(kit, tmp_path, pairs, capfd):
    with pytest.raises(UserError):
        run_notebook(kit / "notebooks" / "06_train.ipynb", pairs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr() == ("", "")


def test_the_kernel_is_this_python_whatever_python3_means_to_jupyter(tmp_path, monkeypatch):
    spec = {
        "argv": [str(tmp_path / "no-such-python"), "{connection_file}"],
        "display_name": "",
        "language": "python",
    }
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    path = write_notebook(tmp_path / "x.ipynb", "import sys\nprint(sys.executable)")
    assert outputs(run_notebook(path, {}, tmp_path / "out")) == f"{sys.executable}\n"


def test_a_folder_that_cannot_be_made_is_refused(kit, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write into the folder"):
        run_notebook(kit / "notebooks" / "00_start_here.ipynb", {}, tmp_path / "file" / "out")


def test_ctrl_c_stops_the_kernel_and_exits_with_130(tmp_path):
    path = write_notebook(
        tmp_path / "x.ipynb",
        "import os, pathlib, time",
        f"pathlib.Path({str(tmp_path / 'pid.new')!r}).write_text(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'pid.new')!r}, {str(tmp_path / 'pid')!r})\ntime.sleep(600)",
    )
    run = subprocess.Popen(command("run", str(path), "--out", str(tmp_path / "out")), stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "pid").exists)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    saved = tmp_path / "out" / "x.ipynb"
    assert run.returncode == 130
    assert told == f"running x (2 cells)\nlambdalab: stopped in x, cell 2 (the notebook so far is {saved})\n"
    nbformat.validate(nbformat.read(saved, as_version=4))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def wait_for(done, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
