"""`lambdalab tables`: the published tables, every row recounted and judged."""

from pathlib import Path

import click

FORMATS = ("md", "csv", "latex", "html")


@click.command("tables")
@click.argument("names", nargs=-1, metavar="[TABLE]...")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="md", show_default=True, help="how to print")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="a file to write to instead")
def tables_command(names: tuple[str, ...], kind: str, out: Path | None) -> None:
    """Recount the paper's and the original README's tables, row by row, with a verdict on each printed number.

    TABLE is parameters, ablation, hybrids, efficiency or cifar10; none: all of them.

    \b
    lambdalab tables hybrids
    lambdalab tables ablation --format csv --out ablation.csv
    """
    from lambdalab.errors import UserError
    from lambdalab.files import atomic_write
    from lambdalab.tables import TABLES, make_table

    if kind == "csv" and len(names or TABLES) > 1:
        raise UserError("one table a CSV file: name one of " + ", ".join(TABLES))
    text = "\n".join(formatted(name, make_table(name), kind) for name in names or TABLES)
    if out is None:
        click.echo(text)
    else:
        with atomic_write(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
        click.echo(f"written to {out}")


def formatted(name: str, table, kind: str) -> str:
    """Return a pandas table as text of one of the ``FORMATS``, under its name."""
    if kind == "csv":
        return table.to_csv(index=False)
    if kind == "html":
        return f"<h2>{name}</h2>\n{table.to_html(index=False)}\n"
    if kind == "latex":
        return f"% {name}\n{table.to_latex(index=False, escape=True)}"
    rows = [list(table.columns), ["---"] * len(table.columns), *table.fillna("").values.tolist()]
    return "\n".join([f"## {name}", "", *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""])
