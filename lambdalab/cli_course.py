"""`lambdalab course`: the minutes of the notebooks, measured and stated, and the plan of the sessions."""

import click

from lambdalab.paths import home


@click.command("course")
@click.argument("measured", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--measure", "wants_measuring", is_flag=True, help="Execute all notebooks first, and keep the times.")
@click.option("--write", "wants_writing", is_flag=True, help="Put the tables into docs/course.md.")
def course_command(measured: tuple[str, ...], wants_measuring: bool, wants_writing: bool) -> None:
    """Show how many minutes the notebooks take, to run and to teach, and the sessions made of them, as Markdown.

    Minutes to run are measured (data/benchmarks/notebooks.csv), minutes to teach are stated: a notebook's in itself,
    its sections' in configs/course.yaml, which says which of them make a session, too. A session has two hours. To
    measure takes some minutes of the processor's time; with NOTEBOOK, only these are measured.

    \b
    lambdalab course                          the tables
    lambdalab course --measure --write        on this machine, and into the course plan
    lambdalab course --measure 06_train exercises/02_content_lambda
    """
    from lambdalab.course import course_notebooks, measured_file, minutes_table, minutes_to_run, misstated
    from lambdalab.sessions import read_sessions, session_table, write_tables

    notebooks = course_notebooks()
    if wants_measuring or measured:
        _measure(notebooks, measured or tuple(notebooks))
    minutes = minutes_to_run(measured_file())
    sessions = read_sessions(home() / "configs" / "course.yaml", notebooks, minutes)
    tables = {"minutes": minutes_table(notebooks, minutes)}
    tables |= {f"session {number}": session_table(each) for number, each in enumerate(sessions, 1)}
    if wants_writing:
        write_tables(home() / "docs" / "course.md", tables)
        click.echo("written into docs/course.md")
    else:
        titles = ["The notebooks, in minutes", *(each.title for each in sessions)]
        click.echo("\n\n".join(f"{title}\n\n{table}" for title, table in zip(titles, tables.values(), strict=True)))
    for line in misstated(notebooks, minutes):
        click.echo(line, err=True)


def _measure(notebooks: dict, chosen: tuple[str, ...]) -> None:
    from lambdalab.course import keep, measure, measured_file
    from lambdalab.errors import UserError, did_you_mean

    for name in chosen:
        if name not in notebooks:
            near = did_you_mean(name, list(notebooks))
            raise UserError(f"unknown notebook '{name}'{near} (lambdalab course shows all)")
    for number, name in enumerate(chosen, 1):
        row = measure(name, notebooks[name])
        keep(row, measured_file())
        click.echo(f"{number} of {len(chosen)}, {name}: {row['seconds']} s, of the processor {row['cpu_seconds']} s")
