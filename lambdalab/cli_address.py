"""`lambdalab address`: which copy of the kit on GitHub the notebooks install when Colab opens them."""

import click


@click.command("address")
@click.argument("repository", metavar="[OWNER/NAME]", required=False)
def address_command(repository: str | None) -> None:
    """Write the address of your copy of this kit into the notebooks' first cell, which installs it on Colab.

    Without OWNER/NAME each notebook keeps the one it has; a notebook without such a cell gets one.
    """
    from lambdalab.bootstrap import bootstrap_cell, place_bootstrap
    from lambdalab.notebooks import list_notebooks
    from lambdalab.paths import notebooks_dir

    bootstrap_cell(repository or "")  # refused before anything is written
    lectures = [info.path for info in list_notebooks()]
    exercises = sorted((notebooks_dir() / "exercises").glob("**/[!.]*.ipynb"))  # with solutions and sources
    for path in lectures + exercises:
        named = place_bootstrap(path, repository)
        name = path.relative_to(notebooks_dir()).with_suffix("").as_posix()
        click.echo(f"{name}: {named or 'no repository; lambdalab address OWNER/NAME names one'}")
