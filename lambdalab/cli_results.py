"""`lambdalab results`: the tables of what has been trained."""

from pathlib import Path

import click

from lambdalab.paths import home, of_the_course, results_dir

TABLES = ("runs", "laptop", "gpu", "readme")


@click.command("results")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option("--only", multiple=True, metavar="ROW", help="of the table of runs: a row or a pattern; may be repeated")
@click.option("--table", type=click.Choice(TABLES), default="runs", show_default=True, help="which")
def results_command(folder: Path | None, only: tuple[str, ...], table: str) -> None:
    """Print the finished runs below FOLDER as a table: mean and standard deviation over seeds.

    FOLDER is data/results, the runs that come with the kit, unless you name another, such as runs.

    \b
    lambdalab results                    every run; a line for runs that differ in their seed alone
    lambdalab results --only 'digits-*'  some of them
    lambdalab results --table laptop     the queue's rows for a laptop, also those not run; gpu: those for a GPU
    lambdalab results --table readme     the original README's CIFAR-10 table beside the queue's runs
    """
    from lambdalab.errors import UserError
    from lambdalab.queue import read_queue
    from lambdalab.results import queue_table, readme_table, results_table

    folder, queue = folder or of_the_course(results_dir()), home() / "configs" / "replays.yaml"
    if table == "runs":
        planned = [row.name for row in read_queue(queue)] if queue.is_file() else []
        click.echo(results_table(folder, list(only), planned))
        return
    if only:
        raise UserError("--only chooses from the table of runs; leave it out, or leave out --table")
    rows = read_queue(of_the_course(queue))
    if table == "readme":
        click.echo(readme_table(rows, folder))
    else:
        click.echo(queue_table([row for row in rows if row.machine == table], folder))
