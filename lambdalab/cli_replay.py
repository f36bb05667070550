"""`lambdalab replay`: work through the queue of runs, in slots of any length."""

import sys
import time
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import click

from lambdalab.paths import cache_dir, home, of_the_course, results_dir, runs_dir

DEVICES = ("auto", "cpu", "cuda", "mps")


@click.command("replay")
@click.option("--queue", type=click.Path(path_type=Path), help="the rows to work through  [configs/replays.yaml]")
@click.option("--only", multiple=True, metavar="ROW", help="a row, a run (ROW-seed1) or a pattern; may be repeated")
@click.option("--budget", metavar="TIME", help="stop with a checkpoint within 90s, 9m or 1h30m  [no limit]")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="where to train")
@click.option("--data", type=click.Path(path_type=Path), help="the folder of the datasets' folders  [data/cache]")
@click.option("--results", type=click.Path(path_type=Path), help="where finished runs go  [data/results]")
@click.option("--list", "wants_list", is_flag=True, help="show every row, how far it is, and its result, and stop")
def replay_command(queue, only, budget, device, data, results, wants_list) -> None:
    """Train the next unfinished runs of the queue, and keep their results.

    Repeat the same command as often as you like: it resumes what was begun, with the same numbers as if it had never
    stopped, and goes on with the next run while there is time. Ctrl-C, a kill or a lost machine cost the epoch under
    way at most. Several replays at once share the queue: one for each GPU, since on one they get no further together.

    On a GPU it takes the rows under `gpu`, on a CPU those under `laptop`; --only takes any row. A run stays on the
    kind of device that it was begun on. Runs under way, and all checkpoints, are in runs/replay; a finished run's
    configuration, environment, epochs and summary go to data/results/ROW-seed0, with its weights if they are small.

    The rows need CIFAR-10's pictures as files below the data folder: data/cache/cifar10-jpeg/train/airplane/0000.jpg …
    and, where there are lossless copies of some, data/cache/cifar10-png/test/airplane/0007.png …, from whose train/ the
    rows learn that ask what JPEG costs. Reading them takes 10 to 30 seconds of every slot.

    \b
    lambdalab replay --list                            what there is to do
    lambdalab replay --budget 9m                       a slot of ten minutes
    lambdalab replay --only 'laptop_*' --budget 8h     overnight, on two cores
    """
    began = time.monotonic()
    from lambdalab.experiment import parse_duration
    from lambdalab.queue import planned_runs, read_queue
    from lambdalab.replay import Places, work_through
    from lambdalab.train_state import find_device

    rows = read_queue(queue or of_the_course(home() / "configs" / "replays.yaml"))
    places = Places(runs_dir() / "replay", results or results_dir(), data or cache_dir())
    seconds = parse_duration(budget)
    runs = _chosen(planned_runs(rows), only)
    if wants_list:
        return _print_standings(runs, places)
    kind = find_device(device).type
    if not only:
        machine = "laptop" if kind == "cpu" else "gpu"
        runs = [run for run in runs if run.row.machine == machine]
        click.echo(f"{len(runs)} runs for a {machine} (on {kind})")
    if seconds is not None:
        seconds -= time.monotonic() - began
    if work_through(runs, places, kind, seconds, say=click.echo, progress=sys.stderr.isatty()):
        click.echo("nothing left to do here; lambdalab replay --list shows all rows")


def _chosen(runs: list, only: tuple[str, ...]) -> list:
    """Return the runs of the rows asked for, in the queue's order."""
    from lambdalab.errors import UserError, did_you_mean

    if not only:
        return runs
    for pattern in only:
        if not any(_fits(run, pattern) for run in runs):
            names = list(dict.fromkeys(run.row.name for run in runs))
            near = did_you_mean(pattern, names)
            raise UserError(f"no row '{pattern}' in the queue{near} (lambdalab replay --list shows all)")
    return [run for run in runs if any(_fits(run, pattern) for pattern in only)]


def _fits(run, pattern: str) -> bool:
    return fnmatch(run.name, pattern) or fnmatch(run.row.name, pattern)


def _print_standings(runs: list, places) -> None:
    """Print a row a line: its machine, finished seeds, each seed's epochs, and test top-1."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from lambdalab.replay import standing

    table = Table("row", "for", "state", "epochs done", "test top-1 [%]", box=box.SIMPLE_HEAD, pad_edge=False)
    rows = {}
    for run in runs:
        rows.setdefault(run.row.name, []).append((run, standing(run, places)))
    for name, seeds in rows.items():
        first, found = seeds[0][0], [now for _, now in seeds]
        epochs = f"{' '.join(str(now.epochs) for now in found)} of {first.config('auto').epochs}"
        table.add_row(name, first.row.machine, _state(found), epochs, _top1(found))
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    finished = sum(now.state == "finished" for seeds in rows.values() for _, now in seeds)
    click.echo(f"{finished} of {len(runs)} runs finished")


def _state(found: list) -> str:
    """Return "finished", or how many seeds are in which state."""
    counts = Counter(now.state for now in found)
    return ", ".join(state if len(counts) == 1 else f"{count} {state}" for state, count in counts.items())


def _top1(found: list) -> str:
    """Return mean ± sample standard deviation over the finished seeds, in percent, and their number."""
    from lambdalab.grouping import mean_sd

    values = [100 * now.top1 for now in found if now.state == "finished"]
    return mean_sd(values) + (f" (n = {len(values)})" if values else "")
