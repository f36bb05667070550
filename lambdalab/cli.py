"""The `lambdalab` command: each command parses, calls the library once, and prints.

Imports that take time stand inside the commands, so that help appears at once.
"""

import json
import shlex
import sys
import time
from pathlib import Path

import click

from lambdalab.cli_address import address_command
from lambdalab.cli_bench import bench_command
from lambdalab.cli_course import course_command
from lambdalab.cli_exercises import exercises_command
from lambdalab.cli_init import init_command
from lambdalab.cli_replay import replay_command
from lambdalab.cli_results import results_command
from lambdalab.cli_slides import slides_command
from lambdalab.cli_sweep import sweep_command
from lambdalab.cli_tables import tables_command
from lambdalab.cli_train import train_command
from lambdalab.errors import UserError, did_you_mean
from lambdalab.paths import runs_dir


class _Stopped(click.ClickException):
    """What ends the command with one line and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _OneLineErrors(click.Group):
    """A group that reports every mistake as one line `lambdalab: ...` on stderr, without a traceback."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        if args[0] not in self.commands and not args[0].startswith("-"):
            near = did_you_mean(args[0], list(self.commands))
            raise click.UsageError(f"unknown command '{args[0]}'{near}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        from lambdalab.notebooks import NotebookFailed

        try:
            return super().invoke(ctx)
        except UserError as error:
            raise _Stopped(str(error), 2) from error
        except NotebookFailed as error:
            raise _Stopped(str(error), 1) from error
        except KeyboardInterrupt as error:
            raise _Stopped(str(error) or "stopped", 130) from error

    def main(self, *args: object, **kwargs: object) -> None:
        try:
            code = super().main(*args, **{**kwargs, "prog_name": "lambdalab", "standalone_mode": False})
        except click.ClickException as error:
            hint = ""
            if isinstance(error, click.UsageError) and error.ctx is not None:
                hint = f" ({error.ctx.command_path} --help explains)"
            click.echo(" ".join(f"lambdalab: {error.format_message()}{hint}".split()), err=True)
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    "lambdalab",
    cls=_OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lambdalab", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Learn, see, rerun and teach LambdaNetworks.

    \b
    lambdalab list                         what there is to read and run
    lambdalab run 06_train --help          what can be set in a notebook
    lambdalab run 06_train -p epochs 5     run it, with five epochs
    lambdalab train --epochs 5             the same training without a notebook
    lambdalab tables                       the published tables, recounted
    lambdalab bench layer --shapes 8x8     is this layer faster than the others?
    lambdalab sweep 06_train grid.yaml     a grid of parameters, run after run
    lambdalab replay --list                the queue of runs behind the result tables
    lambdalab results --table laptop       what came of it: mean, spread, differences
    lambdalab init course                  a folder with the whole course (without a checkout)
    lambdalab exercises                    exercises that check themselves
    lambdalab slides 01                    a notebook as slides
    lambdalab course                       the course: minutes, sessions
    lambdalab doctor                       is this machine ready?

    Notebooks are meant to be read in JupyterLab; `run` executes one from top to bottom and keeps the result.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command("list")
def list_command() -> None:
    """Show the notebooks: what each is for, and its minutes.

    "run" is the computer's minutes for the whole notebook, "teach" a reader's or a class's.
    """
    from lambdalab.notebooks import list_notebooks
    from lambdalab.terminal import print_table

    rows = [(info.name, info.purpose or info.title, *info.minutes) for info in list_notebooks()]
    print_table(["notebook", "what it is for", "run [min]", "teach [min]"], rows)
    click.echo("Next: lambdalab run NOTEBOOK --help")


@main.command("run", add_help_option=False)
@click.argument("notebook", required=False)
@click.option(
    "-p",
    "parameters",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter; may be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for all the run makes.")
@click.option("-h", "--help", "wants_help", is_flag=True, help="With NOTEBOOK, show its parameters.")
@click.pass_context
def run_command(
    ctx: click.Context,
    notebook: str | None,
    parameters: tuple[tuple[str, str], ...],
    out: Path | None,
    wants_help: bool,
) -> None:
    """Execute a notebook with your parameters, and keep the result.

    NOTEBOOK is a name that `lambdalab list` shows, its number, or a path. All you give is checked before
    anything starts: a mistake writes nothing. Values: 3, 0.1, true, some-text, none, lists as 1,2,3.

    \b
    lambdalab run 06_train --help                   what can be set
    lambdalab run 06_train -p epochs 5 -p seed 3    two parameters
    lambdalab run 06 --out runs/mine                a folder of your choice (else runs/NOTEBOOK-TIME)
    """
    from lambdalab.notebooks import find_notebook, run_notebook

    if wants_help:
        return _print_help(ctx, notebook)
    if notebook is None:
        raise click.UsageError("missing argument NOTEBOOK", ctx)
    path = find_notebook(notebook)
    out = out or runs_dir() / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    saved = run_notebook(path, parameters, out)
    headline = _headline(out / "summary.json")
    if headline is None and (out / "last.safetensors").is_file():
        headline = "not finished: the same command, with the same --out, goes on"
    click.echo(f"{path.stem}: {_short(saved)}" + (f"\n{headline}" if headline else ""))


@main.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, for a program.")
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> None:
    """Check this machine, and say how to repair what is broken.

    Exits with 1 if something is broken, so a script can ask: lambdalab doctor && lambdalab run 06_train
    """
    from lambdalab.doctor import checks
    from lambdalab.terminal import print_table

    found = checks()
    broken = [check for check in found if not check.ok]
    if as_json:
        rows = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in found]
        click.echo(json.dumps(rows, indent=2))
    else:
        print_table(["", "what", "found"], [("ok" if c.ok else "broken", c.name, c.detail) for c in found])
        for check in broken:
            click.echo(f"{check.name}: {check.remedy}")
    ctx.exit(1 if broken else 0)


main.add_command(train_command)
main.add_command(results_command)
main.add_command(tables_command)
main.add_command(bench_command)
main.add_command(replay_command)
main.add_command(sweep_command)
main.add_command(course_command)
main.add_command(exercises_command)
main.add_command(slides_command)
main.add_command(init_command)
main.add_command(address_command)


def _print_help(ctx: click.Context, notebook: str | None) -> None:
    """Print the command's own help, or what a notebook is for and what can be set in it."""
    from lambdalab.notebooks import find_notebook, notebook_info, parameters_of
    from lambdalab.parameters import as_text
    from lambdalab.terminal import print_table

    if notebook is None:
        click.echo(ctx.get_help())
        return
    info = notebook_info(find_notebook(notebook))
    known = [parameter for parameter in parameters_of(info.path).values() if parameter.name != "out"]
    run, teach = info.minutes
    click.echo(f"{info.name}: {info.title}\n{info.purpose}\nMinutes: {run} to run, {teach} to teach\n")
    if known:
        rows = [(p.name, p.type, as_text(p.default), p.help) for p in known]
        print_table(["parameter", "type", "default", "what it is"], rows)
    else:
        click.echo("This notebook has no parameters.")
    examples = "".join(f" -p {p.name} {shlex.quote(as_text(p.default))}" for p in known[:2])
    click.echo(f"\nlambdalab run {info.name}{examples}\nlambdalab run {info.name} --out runs/mine")


def _short(path: Path) -> Path:
    """Return a path as seen from the current folder, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _headline(summary: Path) -> str | None:
    """Return the one sentence a run says about its result, if it says one."""
    try:
        found = json.loads(summary.read_text(encoding="utf-8")).get("headline")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
