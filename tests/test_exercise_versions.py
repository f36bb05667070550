"""Student and solution versions of an exercise, made from one source: marks, builds, and what is out of date."""

import pytest
from small_notebooks import lambdalab, write_notebook

from lambdalab.errors import UserError
from lambdalab.exercise_versions import (
    BEGIN,
    END,
    build,
    find_exercises,
    out_of_date,
    solution_code,
    student_code,
    student_version,
    without_source,
)
from lambdalab.notebooks import NotebookFailed


def test_answers_are_taken_out_and_the_rest_stays():
    source = f"a = 1\ndef f(x):\n    {BEGIN}\n    return x\n    {END}\n\ny = ...\n{BEGIN}\ny = f(2)\n{END}\nz = 3"
    stub = "raise NotImplementedError  # your answer takes the place of this line"
    assert student_code(source, "") == f"a = 1\ndef f(x):\n    {stub}\n\ny = ...\nz = 3"
    assert solution_code(source, "") == "a = 1\ndef f(x):\n    return x\n\ny = ...\ny = f(2)\nz = 3"


@pytest.mark.parametrize(
    "source, said",
    [
        (f"a\n{BEGIN}\nb", "line 2: this solution never ends"),
        (f"{BEGIN}\nb\n{BEGIN}\nc\n{END}", "line 3: a solution begins within the one of line 1"),
        (f"a\n{END}", f"line 2: '{END}' without '{BEGIN}'"),
        (f"{BEGIN}\n{END}\n{END}", f"line 3: '{END}' without"),
        ("### BEGIN SOLUTIONS\nb", "line 1: '### BEGIN SOLUTIONS' is no mark"),
        ("x = 1\n# begin solution", "line 2: '# begin solution' is no mark"),
        (f"x = 1  {BEGIN}", "is no mark"),
    ],
)
def test_malformed_marks_are_refused_with_notebook_and_cell(tmp_path, source, said):
    path = write_notebook(tmp_path / "02_broken.ipynb", "# prose", "x = 1", source)
    with pytest.raises(UserError) as caught:
        student_version(path)
    assert str(caught.value).startswith("02_broken.ipynb, cell 3") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mark_in_prose_is_refused(tmp_path):
    path = write_notebook(tmp_path / "02_broken.ipynb", f"# prose\n{BEGIN}\nthe answer\n{END}")
    with pytest.raises(UserError, match=r"02_broken\.ipynb, cell 1: a mark of a solution in a cell that is no code"):
        student_version(path)


# Building, in a kit of its own.


@pytest.fixture
def kit(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    source = f"def double(x):\n    {BEGIN}\n    return 2 * x\n    {END}"
    about = {"purpose": "doubling", "minutes_run": 0.1, "minutes_teach": 5}
    write_notebook(tmp_path / "notebooks/exercises/source/01_double.ipynb", "# Double", source, "double(21)", **about)
    return tmp_path / "notebooks" / "exercises"


def test_built_twice_the_bytes_are_the_same(kit):
    said = lambdalab("exercises", "build")
    assert (said.returncode, said.stdout) == (0, "01_double: student version and solution made\n"), said.stderr
    paths = [kit / "01_double.ipynb", kit / "solutions" / "01_double.ipynb"]
    first = [path.read_bytes() for path in paths]
    assert b"return 2" not in first[0] and b"42" in first[1] and b"SOLUTION" not in first[1]
    build(find_exercises(("01",))[0])
    assert [path.read_bytes() for path in paths] == first
    assert lambdalab("exercises", "build", "--check").returncode == 0


def test_what_is_out_of_date_is_named(kit):
    said = lambdalab("exercises", "build", "--check")
    assert said.returncode == 1 and said.stdout == ""
    assert said.stderr == (
        "lambdalab: out of date: 01_double.ipynb, solutions/01_double.ipynb; run lambdalab exercises build\n"
    )
    student = kit / "01_double.ipynb"
    build(find_exercises()[0])
    assert out_of_date(find_exercises()) == []
    student.write_text(student.read_text().replace("raise NotImplementedError", "return 2 * x"))
    assert out_of_date(find_exercises()) == ["01_double.ipynb"]
    (kit / "solutions" / "03_old.ipynb").write_text("{}")
    assert without_source() == ["solutions/03_old.ipynb"]


def test_a_solution_that_stops_leaves_nothing_half_written(kit):
    source = kit / "source" / "01_double.ipynb"
    source.write_text(source.read_text().replace("double(21)", "double(21) / 0"))
    with pytest.raises(NotebookFailed, match="ZeroDivisionError"):
        build(find_exercises()[0])
    assert [path.name for path in kit.iterdir()] == ["source"]


def test_a_malformed_source_is_one_line_and_nothing_is_written(kit):
    source = kit / "source" / "01_double.ipynb"
    source.write_text(source.read_text().replace(END, ""))
    said = lambdalab("exercises", "build")
    assert said.returncode == 2 and said.stderr.count("\n") == 1
    assert said.stderr.startswith("lambdalab: 01_double.ipynb, cell 2, line 2: this solution never ends")
    assert [path.name for path in kit.iterdir()] == ["source"]


def test_an_unknown_exercise_is_refused_with_the_nearest_name(kit):
    said = lambdalab("exercises", "build", "01_doubel")
    assert said.returncode == 2 and "did you mean '01_double'?" in said.stderr


def test_without_sources_the_command_says_where_exercises_are_built(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_HOME", str(tmp_path))
    said = lambdalab("exercises", "build")
    assert said.returncode == 2 and "in a checkout of the kit" in said.stderr
    assert lambdalab("exercises").returncode == 2
