"""The sessions of the course: which sections of which notebooks, by a plan, and the minutes that this takes."""

import math
from dataclasses import dataclass
from pathlib import Path

from lambdalab.course import link
from lambdalab.errors import UserError
from lambdalab.files import atomic_write
from lambdalab.notebooks import NotebookInfo

LENGTH = 120  # minutes of a session, its pause included


@dataclass(frozen=True)
class Step:
    """A step of a session.

    Attributes:
        what: What is done, in a few words.
        where: The notebook and its sections, as Markdown, or an empty string.
        run: Minutes for the computer: all of the notebook, where the session first comes to it.
        teach: Minutes for the class.
    """

    what: str
    where: str
    run: int
    teach: int


@dataclass(frozen=True)
class Session:
    """A session of the course, with its steps one after the other."""

    title: str
    steps: list[Step]

    @property
    def minutes(self) -> int:
        """The sum of all its minutes."""
        return sum(step.run + step.teach for step in self.steps)


def read_sessions(plan: Path, notebooks: dict[str, NotebookInfo], measured: dict[str, float]) -> list[Session]:
    """Read the plan, and put the minutes in.

    Args:
        plan: The file, as configs/course.yaml explains it.
        notebooks: As `course_notebooks` returns them.
        measured: Minutes to run by notebook.

    Raises:
        UserError: If the plan cannot be read, names a notebook or section that is not there, states minutes of
            sections that do not add up to their notebook's, or has a session that is too long.
    """
    import yaml

    try:
        found = yaml.safe_load(plan.read_text(encoding="utf-8"))
        sections = {name: {str(key): value for key, value in each.items()} for name, each in found["sections"].items()}
        _check_sums(sections, notebooks)
        sessions = [
            Session(each["title"], _steps(each["steps"], sections, notebooks, measured)) for each in found["sessions"]
        ]
    except UserError as error:
        raise UserError(f"{plan}: {error}") from None
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{plan} is no plan of the course: {told}") from None
    for session in sessions:
        if session.minutes > LENGTH:
            raise UserError(f"{plan}: '{session.title}' takes {session.minutes} minutes, and {LENGTH} is all there is")
    return sessions


def _check_sums(sections: dict, notebooks: dict) -> None:
    for name, each in sections.items():
        if name in notebooks and sum(each.values()) != notebooks[name].minutes_teach:
            stated = f"{notebooks[name].minutes_teach:g}"
            raise UserError(f"the sections of {name} have {sum(each.values())} minutes, its notebook {stated}")


def _steps(steps: list[dict], sections: dict, notebooks: dict, measured: dict) -> list[Step]:
    made, opened = [], set()
    for step in steps:
        name, chosen = step.get("notebook"), [str(each) for each in step.get("sections", [])]
        if name is None:
            made.append(Step(step["what"], "", 0, step["minutes"]))
            continue
        if name not in notebooks or not set(chosen) <= set(sections.get(name, {})):
            wanted = " § ".join([name, *([", ".join(chosen)] if chosen else [])])
            raise UserError(f"'{step['what']}' wants {wanted}, which is not there")
        teach = sum(sections[name][each] for each in chosen) if chosen else notebooks[name].minutes_teach
        run = 0 if name in opened else math.ceil(measured.get(name, notebooks[name].minutes_run))
        opened.add(name)
        where = link(name, short=True) + (f"\u00a0§\u00a0{_ranges(chosen)}" if chosen else "")
        made.append(Step(step["what"], where, run, int(teach)))
    return made


def _ranges(names: list[str]) -> str:
    """Return `1–3, 5` for 1, 2, 3, 5; a name that is no number stands for itself."""
    runs: list[list[str]] = []
    for name in names:
        follows = runs and name.isdigit() and runs[-1][-1].isdigit() and int(name) == int(runs[-1][-1]) + 1
        runs[-1].append(name) if follows else runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def session_table(session: Session) -> str:
    """Return a session as a Markdown table, with the minute at which each step begins."""
    lines = ["| from | what | notebook | to run | to teach |", "|--:|---|---|--:|--:|"]
    begins = 0
    for step in session.steps:
        clock = f"{begins // 60}:{begins % 60:02}"
        lines.append(f"| {clock} | {step.what} | {step.where} | {step.run or ''} | {step.teach} |")
        begins += step.run + step.teach
    run = sum(step.run for step in session.steps)
    return "\n".join([*lines, f"| {begins // 60}:{begins % 60:02} | end | | {run} | {begins - run} |"])


def write_tables(page: Path, tables: dict[str, str]) -> None:
    """Put each table into a page between its marks, `<!-- name -->` and `<!-- /name -->`.

    Raises:
        UserError: If there is no such page, or it does not have a table's marks.
    """
    if not page.is_file():
        raise UserError(f"{page} is not there; lambdalab course without --write prints the tables")
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, opened, rest = text.partition(opening)
        _, closed, after = rest.partition(closing)
        if not (opened and closed):
            raise UserError(f"{page} has no place for a table, <!-- {name} --> and <!-- /{name} -->; put it in")
        text = f"{before}{opening}{table}\n{closing}{after}"
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
