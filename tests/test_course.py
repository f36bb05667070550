"""The course's pages: minutes that were measured and stated, sessions that fit, notes that the notebooks bear out."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from small_notebooks import ABOUT, make_kit, write_notebook

from lambdalab import cli
from lambdalab.bench.records import read_rows
from lambdalab.course import course_notebooks, keep, measure, measured_file, minutes_to_run, misstated
from lambdalab.errors import UserError
from lambdalab.notebooks import list_notebooks, notebook_info
from lambdalab.sessions import read_sessions, session_table

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LECTURES = {info.name: info for info in list_notebooks()}
PLAN = yaml.safe_load((ROOT / "configs" / "course.yaml").read_text(encoding="utf-8"))
PAGES = [DOCS / "course.md", DOCS / "faq.md", DOCS / "glossary.md", *sorted((DOCS / "teaching").glob("*.md"))]


def call(*arguments: str):
    return CliRunner().invoke(cli.main, arguments)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows_of(table: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head, as cells."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]


def words_of(path: Path) -> str:
    """All that a reader of a notebook sees in words: prose, and printed lines."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    printed = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join([cell.source for cell in cells if cell.cell_type == "markdown"] + printed)


def sections_of(path: Path) -> set[str]:
    """The numbers of a notebook's sections."""
    return set(re.findall(r"^## (\d+) · ", words_of(path), re.M))


def test_tables_of_the_course_plan_are_those_of_the_command(tmp_path, monkeypatch):
    for name in ("configs", "notebooks", "data/benchmarks", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_*", "source"))
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    result = call("course", "--write")
    assert (result.exit_code, result.stdout) == (0, "written into docs/course.md\n"), result.output
    assert (tmp_path / "docs/course.md").read_text(encoding="utf-8") == page("course.md"), "lambdalab course --write"


def test_every_notebook_was_measured():
    assert set(minutes_to_run(measured_file())) == set(course_notebooks())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_session_fits_into_two_hours_with_its_pause(number):
    table = re.search(rf"<!-- session {number} -->\n(.*?)<!-- /session {number} -->", page("course.md"), re.S)[1]
    *steps, end = rows_of(table)
    minutes = 0
    for begins, *_, run, teach in steps:
        hours, rest = begins.split(":")
        assert 60 * int(hours) + int(rest) == minutes
        minutes += int(run or 0) + int(teach)
    assert end[0] == f"{minutes // 60}:{minutes % 60:02}" and 100 <= minutes <= 120
    assert [step[1] for step in steps].count("Pause") == 1


@pytest.mark.parametrize("name", LECTURES)
def test_minutes_of_sections_add_up_and_the_notes_have_them(name):
    minutes = {str(section): each for section, each in PLAN["sections"][name].items()}
    assert sum(minutes.values()) == LECTURES[name].minutes_teach
    assert set(minutes) - {"opening"} == sections_of(LECTURES[name].path)
    thread = re.search(r"## The thread\n\n(.*?)\n\n", page(f"teaching/{name}.md"), re.S)[1]
    assert {section: int(stated) for section, stated, _ in rows_of(thread)} == minutes


@pytest.mark.parametrize("name", LECTURES)
def test_notes_have_all_parts_and_their_numbers_are_the_notebooks(name):
    notes = page(f"teaching/{name}.md")
    parts = ["The thread", "Questions, and answers", "Where students stumble", "What to skip", "On the board"]
    assert re.findall(r"^## (.+)$", notes, re.M) == [*parts, "Numbers that surprise"]
    assert "\n**Aim.** " in notes
    numbers = re.findall(r"\*\*(.+?)\*\*", notes.partition("## Numbers that surprise")[2])
    words = words_of(LECTURES[name].path)
    missing = [number for number in numbers if not re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d])", words)]
    assert len(numbers) >= 2 and missing == []


def test_glossary_names_what_there_is():
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "lambdalab").rglob("*.py"))
    source += (ROOT / "configs" / "replays.yaml").read_text(encoding="utf-8")
    names = {
        name for code in re.findall(r"`([^`]+)`", page("glossary.md")) for name in re.findall(r"[A-Za-z_]\w+", code)
    }
    # These are built up or belong to other code: networks by depth, a file's ending, an example.
    named = {name for name in names if not re.search(rf"\b{name}\b", source)}
    assert named <= {"resnet50", "lambda_resnet50", "lambda_resnet26", "lambda_resnet18", "CCLL"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_sections_that_a_page_sends_to_are_there(path):
    text = path.read_text(encoding="utf-8")
    numbers = {name[:2]: sections_of(info.path) for name, info in LECTURES.items()}
    sent = [(each[1] or each[2], each[3]) for each in re.finditer(SENT, text)]
    for notebook, listed in sent:
        for first, last in re.findall(r"(\d+)(?:(?:–| to )(\d+))?", listed):
            assert {first, last or first} <= numbers[notebook], f"{notebook} § {listed}"
    assert sent or path.parent.name == "teaching"


SENT = r"(?:(?<!exercise )\[(\d\d)\]\(\S+\)|\b(\d\d))\s§\s([1-9]\d?(?:(?:, |–| to | and )[1-9]\d?)*)"


@pytest.mark.parametrize("row", rows_of(re.search(r"### A parameter is refused\n\n(.*?)\n\n", page("faq.md"), re.S)[1]))
def test_messages_of_the_faq_are_what_is_printed(row):
    typed, said = (cell.strip("`") for cell in row)
    result = call("run", "06_train", *typed.split())
    assert (result.exit_code, result.stderr) == (2, f"lambdalab: {said}\n")


@pytest.fixture
def kit(tmp_path, monkeypatch) -> Path:
    """A small course, not yet measured: two lectures, and an exercise whose solution alone runs."""
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_kit(tmp_path)
    about = {"purpose": "an exercise", "minutes_run": 0.5, "minutes_teach": 20}
    write_notebook(tmp_path / "notebooks/00_start_here.ipynb", "# Start here", "print('hello')", **ABOUT)
    write_notebook(tmp_path / "notebooks/exercises/01_x.ipynb", "# X", "raise NotImplementedError", **about)
    write_notebook(tmp_path / "notebooks/exercises/solutions/01_x.ipynb", "# X", "sum(range(10**6))", **about)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/course.yaml").write_text(GOOD)
    return tmp_path


GOOD = """
sections: {06_train: {opening: 4, 1: 16, 2: 20}}
sessions:
  - title: One
    steps:
      - {what: "Hello", minutes: 5}
      - {what: "Train", notebook: 06_train, sections: [opening, 1]}
      - {what: "More", notebook: 06_train, sections: [1, 2]}
      - {what: "Try", notebook: exercises/01_x}
"""


def test_measuring_runs_solutions_and_replaces_what_was_measured_before(kit):
    file = kit / "data/benchmarks/notebooks.csv"
    keep({"notebook": "exercises/01_x", "seconds": 600.0, "cpu_seconds": None, "date": "", "machine": ""}, file)
    keep({"notebook": "06_train", "seconds": 120.0, "cpu_seconds": 66.0, "date": "", "machine": ""}, file)
    row = measure("exercises/01_x", course_notebooks()["exercises/01_x"])
    assert row["seconds"] > 0 and "usable cores" in row["machine"] and re.fullmatch(r"20\d\d-\d\d-\d\d", row["date"])
    assert minutes_to_run(file) == {"06_train": 1.1, "exercises/01_x": 10}
    keep(row, file)
    assert [each["notebook"] for each in read_rows(file)] == ["06_train", "exercises/01_x"]
    assert minutes_to_run(file)["exercises/01_x"] < 1


def test_minutes_are_counted_where_a_session_first_comes_to_a_notebook(kit):
    measured = {"06_train": 1.1, "exercises/01_x": 0.1}
    (session,) = read_sessions(kit / "configs/course.yaml", course_notebooks(), measured)
    assert [(step.run, step.teach) for step in session.steps] == [(0, 5), (2, 20), (0, 36), (1, 20)]
    last, end = session_table(session).splitlines()[-2:]
    assert last == "| 1:03 | Try | [exercise 01](../notebooks/exercises/01_x.ipynb) | 1 | 20 |"
    assert end.startswith("| 1:24 | end ") and session.minutes == 84
    assert "[06](../notebooks/06_train.ipynb)\u00a0§\u00a0opening, 1 |" in session_table(session)


def test_stated_minutes_that_are_not_so_are_told(kit):
    infos = {"06_train": notebook_info(kit / "notebooks/06_train.ipynb")}  # it says 1.5
    assert misstated(infos, {"06_train": 1.26}) == [] == misstated(infos, {})
    for minutes in (0.7, 1.6):
        assert misstated(infos, {"06_train": minutes}) == [f"06_train says 1.5 min to run; measured: {minutes}"]


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (GOOD.replace("2: 20}", "2: 21}"), "the sections of 06_train have 41 minutes, its notebook 40"),
        (GOOD.replace("[1, 2]", "[1, 3]"), "'More' wants 06_train § 1, 3, which is not there"),
        (GOOD.replace("exercises/01_x", "exercises/09_x"), "'Try' wants exercises/09_x, which is not there"),
        (GOOD.replace("minutes: 5", "minutes: 42"), "'One' takes 121 minutes, and 120 is all there is"),
        (GOOD.replace("sections: {06", "section: {06"), "is no plan of the course: KeyError: 'sections'"),
        (GOOD.replace("minutes: 5", "hours: 5"), "is no plan of the course: KeyError: 'minutes'"),
        (GOOD.replace("2: 20}", "2: long}"), "is no plan of the course: TypeError"),
        ("- 1\n- [", "is no plan of the course: ParserError"),
    ],
)
def test_a_plan_that_does_not_add_up_is_refused_in_one_line(kit, plan, told):
    (kit / "configs/course.yaml").write_text(plan)
    with pytest.raises(UserError, match=re.escape(told)) as caught:
        read_sessions(kit / "configs/course.yaml", course_notebooks(), {"06_train": 1.1})
    assert "\n" not in str(caught.value)


def test_mistakes_on_the_command_line_are_one_line_and_measure_nothing(kit):
    for arguments, told in (
        ([], "nothing was measured yet; run lambdalab course --measure"),
        (["06_trian"], "unknown notebook '06_trian'; did you mean '06_train'? (lambdalab course shows all)"),
    ):
        result = call("course", *arguments)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and told in result.stderr
    assert not (kit / "data/benchmarks").exists()


def test_tables_need_a_page_and_marks(kit):
    keep({"notebook": "06_train", "seconds": 60.0, "cpu_seconds": 60.0, "date": "", "machine": ""}, kit / FILE)
    assert "docs/course.md is not there" in call("course", "--write").stderr
    (kit / "docs").mkdir()
    (kit / "docs/course.md").write_text("<!-- minutes -->\n")
    assert "has no place for a table, <!-- minutes --> and <!-- /minutes -->" in call("course", "--write").stderr
    assert (kit / "docs/course.md").read_text() == "<!-- minutes -->\n"
    assert "One\n\n| from | what |" in call("course").stdout


FILE = "data/benchmarks/notebooks.csv"
