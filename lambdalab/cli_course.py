"""`lambdalab course`: the minutes of the notebooks, measured and stated, and the plan of the sessions."""

from pathlib import Path

import click

from lambdalab.paths import home


@click.command("course")
@click.option("--measure", "wants_measuring", is_flag=True, help="execute all notebooks, and keep how long each took")
def course_command(wants_measuring: bool) -> None:
    from lambdalab.bench.records import write_rows
    from lambdalab.course import course_notebooks, measure

    if wants_measuring:
        write_rows(home() / "data" / "benchmarks" / "notebooks.csv", measure(course_notebooks(), click.echo))
