"""A course's folder: made whole, brought up to date, never over what somebody changed; and found from within."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lambdalab import course_folder, paths
from lambdalab.cli import main
from lambdalab.course_folder import enter_course, hand_out
from lambdalab.errors import UserError

START = "notebooks/00_start_here.ipynb"
TRAIN = "notebooks/06_train.ipynb"
EXERCISE = "notebooks/exercises/01_lambda.ipynb"
SOLUTION = "notebooks/exercises/solutions/01_lambda.ipynb"
TABLE = "data/reference/ablation.csv"
FIRST = {START: "start", TRAIN: "train", EXERCISE: "write it", SOLUTION: "written", TABLE: "k,h"}
COMMANDS = ["list", "run 00", "tables", "results", "replay --list", "exercises", "course", "address"]


def write_files(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read_files(folder: Path) -> dict[str, str]:
    """Return what a course's folder holds, without its memory and the README that the library writes."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in found.items() if name not in ("README.md", paths.COURSE_MARK)}


@pytest.fixture
def shipped(tmp_path):
    return write_files(tmp_path / "shipped", FIRST)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "course"


def test_all_but_the_solutions_which_are_to_be_asked_for(shipped, folder):
    handed = hand_out(folder, shipped)
    assert read_files(folder) == {name: text for name, text in FIRST.items() if name != SOLUTION}
    assert "lambdalab run 00_start_here" in (folder / "README.md").read_text(encoding="utf-8")
    assert len(handed.new) == len(FIRST) and not handed.updated + handed.same + handed.kept + handed.retired
    assert hand_out(folder, shipped, solutions=True).new == [SOLUTION]
    assert read_files(folder) == FIRST


def test_an_upgrade_updates_what_is_unchanged_and_keeps_what_is_not(shipped, folder):
    hand_out(folder, shipped, solutions=True)
    (folder / TRAIN).write_text("my train")
    (folder / "notebooks/mine.ipynb").write_text("mine")
    (folder / TABLE).unlink()
    (shipped / EXERCISE).unlink()
    write_files(shipped, {name: f"new {FIRST[name]}" for name in (START, SOLUTION)})
    handed = hand_out(folder, shipped)
    assert (handed.updated, handed.new) == ([START, SOLUTION], [TABLE])
    assert (handed.kept, handed.retired) == ([TRAIN], [EXERCISE])
    expected = {START: "new start", SOLUTION: "new written"}
    changed = {TRAIN: "my train", "notebooks/mine.ipynb": "mine"}
    assert read_files(folder) == FIRST | expected | changed
    again = hand_out(folder, shipped)
    assert again.kept == handed.kept and not again.new + again.updated + again.retired


def test_a_changed_file_comes_anew_when_it_is_out_of_the_way(shipped, folder):
    hand_out(folder, shipped)
    mine = folder / TRAIN
    mine.write_text("my train")
    mine.rename(folder / "notebooks/06_mine.ipynb")
    assert hand_out(folder, shipped).new == [TRAIN]
    assert mine.read_text() == "train" and (folder / "notebooks/06_mine.ipynb").read_text() == "my train"


@pytest.mark.parametrize("memory", ["", "{}", '{"files": 3}', None])
def test_a_damaged_or_lost_memory_overwrites_nothing(shipped, folder, memory):
    hand_out(folder, shipped)
    (folder / TRAIN).write_text("my train")
    write_files(shipped, {START: "new start"})
    if memory is None:
        (folder / paths.COURSE_MARK).unlink()
        with pytest.raises(UserError, match="neither empty nor a course"):
            hand_out(folder, shipped)
    else:
        (folder / paths.COURSE_MARK).write_text(memory)
        assert hand_out(folder, shipped).kept == [START, TRAIN]
    assert read_files(folder)[TRAIN] == "my train"
    assert read_files(folder)[START] == "start"


def test_an_interrupted_one_goes_on(shipped, folder, monkeypatch):
    def stop_before_training(folder, name, *rest):
        if name == TRAIN:
            raise KeyboardInterrupt
        put(folder, name, *rest)

    put = course_folder._put
    monkeypatch.setattr(course_folder, "_put", stop_before_training)
    with pytest.raises(KeyboardInterrupt):
        hand_out(folder, shipped)
    monkeypatch.undo()
    write_files(shipped, {START: "new start"})
    handed = hand_out(folder, shipped)
    assert handed.updated == [START] and TRAIN in handed.new


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_says_what_it_did_and_what_comes_next(shipped, folder, monkeypatch):
    monkeypatch.setattr(course_folder, "shipped_course", lambda: shipped)
    first = call("init", folder)
    assert first.exit_code == 0 and f"Next: cd {folder} && jupyter lab notebooks/00_start_here.ipynb" in first.stdout
    (folder / TRAIN).write_text("my train")
    monkeypatch.chdir(folder)
    second = call("init", ".").stdout.splitlines()
    assert second[0].endswith("4 up to date, 1 kept")
    assert second[1:] == [
        f"kept as you changed it: {TRAIN}",
        "Next: jupyter lab notebooks/00_start_here.ipynb",
    ]


@pytest.mark.parametrize("taken", ["file", "folder", "below a file"])
def test_a_folder_that_is_something_else_is_refused_in_one_line(shipped, tmp_path, monkeypatch, taken):
    monkeypatch.setattr(course_folder, "shipped_course", lambda: shipped)
    other = write_files(tmp_path, {"file": "a", "folder/thesis.tex": "b"})
    before = read_files(other)
    told = call("init", other / "file" / "course" if taken == "below a file" else other / taken)
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "name " in told.stderr or "choose another" in told.stderr
    assert read_files(other) == before


def test_in_a_checkout_there_is_nothing_to_hand_out(tmp_path):
    told = call("init", tmp_path / "course")
    assert told.exit_code == 2 and f"the checkout {paths.checkout()}" in told.stderr
    assert not (tmp_path / "course").exists()


def test_home_is_the_course_around_then_the_checkout_then_here(shipped, folder, tmp_path, monkeypatch):
    monkeypatch.delenv("LAMBDALAB_HOME", raising=False)
    hand_out(folder, shipped)
    monkeypatch.chdir(folder / "notebooks" / "exercises")
    assert paths.home() == folder and paths.notebooks_dir() == folder / "notebooks"
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    assert paths.home() == tmp_path
    monkeypatch.delenv("LAMBDALAB_HOME")
    monkeypatch.chdir(tmp_path)
    assert paths.home() == Path(__file__).resolve().parent.parent
    monkeypatch.setattr(paths, "checkout", lambda: None)
    assert paths.home() == tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_what_needs_a_course_says_how_to_get_one(tmp_path, monkeypatch, command):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    told = call(*command.split())
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "run lambdalab init FOLDER and cd FOLDER first" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_that_starts_elsewhere_enters_the_course_once(shipped, tmp_path, monkeypatch):
    monkeypatch.delenv("LAMBDALAB_HOME", raising=False)
    monkeypatch.setattr(course_folder, "shipped_course", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    enter_course("kit")
    assert Path.cwd() == tmp_path / "kit" / "notebooks"
    enter_course("kit")
    assert Path.cwd() == tmp_path / "kit" / "notebooks" and not (tmp_path / "kit" / "notebooks" / "kit").exists()
    assert json.loads((tmp_path / "kit" / paths.COURSE_MARK).read_text())["files"]
