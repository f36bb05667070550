"""`lambdalab sweep`: one notebook, a grid of parameters, a table at the end."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

import click

from lambdalab.paths import runs_dir


@click.command("sweep")
@click.argument("notebook")
@click.argument("grid", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="folder of all runs  [runs/NOTEBOOK-GRID]")
@click.option("--jobs", type=click.IntRange(min=1), help="runs at once on this machine  [half its cores, at most 4]")
@click.option("--scheduler", metavar="ADDRESS", help="a Dask cluster's, such as tcp://10.0.0.1:8786, instead")
@click.option("--retries", type=click.IntRange(min=0), default=1, show_default=True, help="for a run that failed")
@click.pass_context
def sweep_command(
    ctx: click.Context,
    notebook: str,
    grid: Path,
    out: Path | None,
    jobs: int | None,
    scheduler: str | None,
    retries: int,
) -> None:
    """Run a notebook with every combination of parameters in GRID, a YAML file.

    All runs are checked before the first starts. What has finished is not run again, so after Ctrl-C, a failure or a
    larger grid the same command goes on. Exits with 1 if a run failed.

    \b
    lr: [0.05, 0.1]                    # a mapping: every combination, here 6 runs
    seed: [0, 1, 2]
    epochs: 5
    \b
    - {model: resnet11_tiny, lr: 0.1}  # or a list: each run as it is
    - {model: lambda_resnet11_tiny, lr: 0.05}
    \b
    lambdalab sweep 06_train grid.yaml --jobs 2
    lambdalab sweep 06_train grid.yaml --scheduler tcp://10.0.0.1:8786
    """
    from tqdm import tqdm

    from lambdalab.notebooks import find_notebook
    from lambdalab.sweep import markdown_table, outcome_of, plan, read_grid, run_cases

    path = find_notebook(notebook)
    out = out or runs_dir() / f"{path.stem}-{grid.stem}"
    cases = plan(path, read_grid(grid), out)
    done = sum(outcome_of(case).state == "finished" for case in cases)
    with _workers(path, out, jobs, scheduler) as workers:
        click.echo(f"{len(cases)} runs, {done} finished before; folder: {out}", err=True)
        if workers.link:
            click.echo(f"dashboard: {workers.link}", err=True)
        with tqdm(total=len(cases), initial=done, desc=path.stem, unit=" run", disable=None) as bar:

            def tell(case, outcome, again: bool) -> None:
                said = outcome.message + ("; once more" if again else "")
                bar.write(
                    " ".join(f"{case.label}: {outcome.state} {said}".split()), file=click.get_text_stream("stderr")
                )
                bar.update(not again)

            outcomes = run_cases(cases, workers, retries, tell)
    click.echo(markdown_table(cases, outcomes, Path.cwd()))
    failed = [(case, outcome) for case, outcome in zip(cases, outcomes, strict=True) if outcome.state == "failed"]
    for case, outcome in failed:
        click.echo(f"failed: {case.label}: {outcome.message}", err=True)
    if any(outcome.state == "not finished" for outcome in outcomes):
        click.echo("some runs ended without a result; the same command goes on", err=True)
    ctx.exit(1 if failed else 0)


def _workers(notebook: Path, out: Path, jobs: int | None, scheduler: str | None) -> AbstractContextManager:
    """Return who executes the runs: this machine, or a cluster that sees the notebook and the folder.

    Raises:
        UserError: if the folder cannot be made, or both ways are asked for.
    """
    from lambdalab.errors import UserError
    from lambdalab.workers import dask_workers, local_workers

    if scheduler and jobs:
        raise UserError("--jobs is for this machine; a cluster runs as many at once as its workers have threads")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out} ({error.strerror}); choose another with --out") from None
    if scheduler:
        return dask_workers(scheduler, notebook.absolute(), out.absolute())
    return local_workers(jobs or max(1, min(4, (os.cpu_count() or 1) // 2)))
