"""`lambdalab init`: a folder with the whole course, where there is no checkout."""

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--solutions", is_flag=True, help="With the solutions of the exercises, for teachers.")
def init_command(folder: Path, solutions: bool) -> None:
    """Make FOLDER with the whole course in it: notebooks, data, and what to do next.

    The same command brings a course up to date after an upgrade of lambdalab. A file that you changed is kept as it
    is; to get it anew, rename or delete it first.

    \b
    lambdalab init course && cd course
    lambdalab init . --solutions            this course, with the solutions too
    """
    import lambdalab
    from lambdalab.course_folder import hand_out, shipped_course

    handed = hand_out(folder, shipped_course(), solutions)
    counts = {"new": handed.new, "updated": handed.updated, "up to date": handed.same, "kept": handed.kept}
    told = ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names)
    click.echo(f"{folder}: the course of lambdalab {lambdalab.__version__}, {told}")
    for name in handed.kept:
        click.echo(f"kept as you changed it: {name}")
    for name in handed.retired:
        click.echo(f"no longer part of the course: {name}")
    go = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    click.echo(f"Next: {go}jupyter lab notebooks/00_start_here.ipynb")
