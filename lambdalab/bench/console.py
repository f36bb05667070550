"""The command line's side of a benchmark: options that several share, a progress bar, tables, files out."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from lambdalab.bench.records import Row, write_rows
from lambdalab.errors import UserError

FILE = click.Path(path_type=Path, dir_okay=False)
_FIGURES = (".png", ".svg", ".pdf")


def _drawable(ctx: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a figure's file before the measuring starts, not after."""
    if path is not None and path.suffix not in _FIGURES:
        raise click.BadParameter(f"a figure's name must end in one of {', '.join(_FIGURES)}; got '{path.name}'")
    return path


COMMON = [
    click.option(
        "--device",
        default="cpu",
        show_default=True,
        type=click.Choice(["cpu", "cuda"]),
        help="where; cpu is one thread",
    ),
    click.option("--csv", "csv_file", type=FILE, help="a file for all that was measured"),
    click.option("--figure", type=FILE, callback=_drawable, help="a file for the figure: .png, .svg or .pdf"),
]
PRODUCTS = [
    click.option(
        "--dtype",
        default="float32",
        show_default=True,
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="of the products; others than float32 by autocast",
    ),
    click.option(
        "--onednn", is_flag=True, help="let oneDNN do the float32 products, for all sides; refused where it would round"
    ),
    click.option("--memory", is_flag=True, help="measure peak memory too, each side in a process of its own"),
]


def options(options: Iterable[Callable]) -> Callable:
    def decorate(command: Callable) -> Callable:
        for option in reversed(list(options)):
            command = option(command)
        return command

    return decorate


def numbers(text: str) -> list[int]:
    """Read '18,50'.

    Raises:
        UserError: if it is no list of whole numbers of at least 1.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"'{text}' is no list of whole numbers; write it as 18,50") from None
    if min(numbers) < 1:
        raise UserError(f"numbers must be at least 1, got {min(numbers)}")
    return numbers


def with_bar(total: int | None, measure: Callable) -> list[dict]:
    """Call ``measure`` with a function that moves a progress bar on; without a terminal nothing is drawn."""
    from tqdm import tqdm

    with tqdm(total=total, disable=None, bar_format=None if total else "{desc} ({elapsed})") as bar:
        started = []

        def progress(name: str) -> None:
            bar.update(len(started) and 1)
            started.append(name)
            bar.set_description(name)

        return measure(progress)


def print_tables(tables: list, sentences: list[str]) -> None:
    """Print tables, and sentences below them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, width=200)  # a table takes what it needs, and cuts no number off
    for table in tables:
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=table.title, title_justify="left")
        for index, column in enumerate(table.columns):
            shown.add_column(column.replace("-", "-\n"), justify="left" if index == 0 else "right", no_wrap=True)
        for lines in (table.lines, table.means):
            for line in lines:
                shown.add_row(*line)
            shown.add_section()
        console.print(shown)
    for sentence in sentences:
        click.echo(sentence)


def save(rows: list[Row], csv_file: Path | None, figure: Path | None = None, plot: str = "") -> None:
    """Write rows as CSV, and draw them with the function of this name in ``figures.bench``, into the files given."""
    if csv_file is not None:
        write_rows(csv_file, rows)
        click.echo(f"written to {csv_file}")
    if figure is not None:
        import matplotlib

        matplotlib.use("Agg")
        from lambdalab.figures import bench

        figure.parent.mkdir(parents=True, exist_ok=True)
        getattr(bench, plot)(rows).get_figure().savefig(figure, dpi=150)
        click.echo(f"drawn to {figure}")
