"""`lambdalab exercises`: the exercises, and `lambdalab exercises build`, which makes their notebooks."""

import click


@click.group("exercises", invoke_without_command=True)
@click.pass_context
def exercises_command(ctx: click.Context) -> None:
    """Show the exercises: what each is for, and its minutes. `build` makes their notebooks.

    An exercise is a notebook in notebooks/exercises: open it in JupyterLab, write your answers, and every check says
    at once whether they are right, or what is wrong and a hint. notebooks/exercises/solutions has the answers.
    """
    if ctx.invoked_subcommand is not None:
        return
    from lambdalab.notebooks import notebook_info
    from lambdalab.paths import notebooks_dir, of_the_course
    from lambdalab.terminal import print_table

    folder = of_the_course(notebooks_dir() / "exercises")
    found = [notebook_info(path) for path in sorted(folder.glob("[!.]*.ipynb"))]
    rows = [(info.name, info.purpose or info.title, *info.minutes) for info in found]
    print_table(["exercise", "what it is for", "run [min]", "teach [min]"], rows)
    click.echo("Next: open one in JupyterLab, in notebooks/exercises")


@exercises_command.command("build")
@click.argument("names", nargs=-1, metavar="[EXERCISE]...")
@click.option("--check", is_flag=True, help="Write nothing; say which versions are not what their sources make.")
@click.pass_context
def build_command(ctx: click.Context, names: tuple[str, ...], check: bool) -> None:
    """Make the student and the solution versions from notebooks/exercises/source.

    EXERCISE is a name, such as 02_content_lambda, or its number; none: all of them. Solutions are executed. With
    --check nothing is executed or written, and the command exits with 1 if a version is out of date.

    \b
    lambdalab exercises build 02
    lambdalab exercises build --check
    """
    from lambdalab.exercise_versions import build, find_exercises, out_of_date, without_source

    exercises = find_exercises(names)
    if check:
        stale = [*out_of_date(exercises), *(without_source() if not names else [])]
        if stale:
            click.echo(f"lambdalab: out of date: {', '.join(stale)}; run lambdalab exercises build", err=True)
        ctx.exit(1 if stale else 0)
    for exercise in exercises:
        build(exercise)
        click.echo(f"{exercise.name}: student version and solution made")
