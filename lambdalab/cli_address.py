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

    bootstrap_cell(repository or "")  # refused before anything is written
    for info in list_notebooks():
        named = place_bootstrap(info.path, repository)
        click.echo(f"{info.name}: {named or 'no repository; lambdalab address OWNER/NAME names one'}")
