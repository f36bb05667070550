"""`lambdalab slides`: the lecture's notebooks as slides."""

from pathlib import Path

import click

from lambdalab.paths import home


@click.command("slides")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the slides.  [build/slides]")
def slides_command(notebooks: tuple[str, ...], out: Path | None) -> None:
    """Make slides of the lecture's notebooks, or of those named: an HTML file each, which needs no network.

    Open one in any browser. Arrow keys, space or Page Up and Down turn pages, Home and End lead to the first and last,
    t changes between light and dark, and printing makes a PDF with a slide a page. A heading begins a slide; figures
    and printed lines are those stored in the notebook.

    \b
    lambdalab slides                              all of them, into build/slides
    lambdalab slides 01 02 --out lecture          two, by number
    lambdalab slides runs/mine/06_train.ipynb     a run of your own
    """
    from lambdalab.notebooks import find_notebook, list_notebooks
    from lambdalab.slides import write_decks

    paths = [find_notebook(name) for name in notebooks] or [info.path for info in list_notebooks()]
    for path in write_decks(paths, out or home() / "build" / "slides"):
        click.echo(f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
