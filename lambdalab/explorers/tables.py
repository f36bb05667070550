"""Explorers of the published tables: filter and sort their rows; make a network and see where its count lands."""

from collections.abc import Callable

import ipywidgets

from lambdalab.cost import model_cost
from lambdalab.errors import UserError
from lambdalab.explorers.base import Explorer
from lambdalab.figures.tables import plot_count
from lambdalab.models import model_config
from lambdalab.tables import TABLES, Row, make_table


class TableExplorer(ipywidgets.VBox):
    """A published table whose rows can be chosen by verdict and sorted by any column.

    ``explorer.shown`` is the pandas table on display.
    """

    def __init__(self, name: str = "ablation"):
        names = list(TABLES)
        self.name = ipywidgets.Dropdown(options=names, value=name, description="table")
        self.verdict = ipywidgets.Dropdown(options=["all"], value="all", description="verdict")
        self.column = ipywidgets.Dropdown(options=["as printed"], description="sort by")
        self.table = ipywidgets.HTML()
        self.name.observe(self._load, names="value")
        for control in (self.verdict, self.column):
            control.observe(self._refresh, names="value")
        super().__init__([ipywidgets.HBox([self.name, self.verdict, self.column]), self.table])
        self._load()

    def _load(self, change=None) -> None:
        self.rows = make_table(self.name.value)
        judged = [column for column in self.rows.columns if "verdict" in column]
        verdicts = {text.partition(" (")[0] for column in judged for text in self.rows[column]}
        self.verdict.options = ["all", *sorted(verdicts)]
        self.column.options = ["as printed", *self.rows.columns]
        self._refresh()

    def _refresh(self, change=None) -> None:
        shown = self.rows
        if self.verdict.value != "all":
            judged = [column for column in shown.columns if "verdict" in column]
            wanted = shown[judged].apply(lambda texts: texts.str.partition(" (")[0] == self.verdict.value)
            shown = shown[wanted.any(axis=1)]
        if self.column.value not in (None, "as printed"):
            shown = shown.sort_values(self.column.value, key=_as_numbers)
        self.shown = shown
        self.table.value = shown.to_html(index=False)


def _as_numbers(column):
    """A column as numbers where all of it is numbers, as text elsewhere."""
    numbers = column.str.replace(",", "")
    try:
        return numbers.astype(float)
    except ValueError:
        return column


def printed_counts(rows: list[Row]) -> list[tuple[str, float]]:
    """Return what the paper and the README print for some rows, as (name, millions)."""
    return [
        (f"{row.label} · {source}", float(verdict.printed))
        for row in rows
        for source, verdict in (("paper", row.paper), ("README", row.readme))
        if verdict is not None
    ]


def count_explorer(rows: list[Row], depth: int = 50) -> Explorer:
    """Choose k, h, u, scope, stages, stem and squeeze-excitation, and see where the count lands among printed ones."""
    printed = printed_counts(rows)
    choose: dict[str, Callable] = {
        "dim_k": ipywidgets.SelectionSlider(options=[2, 4, 8, 16, 32], value=16),
        "heads": ipywidgets.SelectionSlider(options=[1, 2, 4, 8, 16], value=4),
        "dim_u": ipywidgets.SelectionSlider(options=[1, 2, 4, 8], value=1),
        "scope": ipywidgets.SelectionSlider(options=[3, 5, 7, 11, 15, 23], value=23),
        "stages": ipywidgets.Dropdown(options=["LLLL", "CLLL", "CCLL", "CCCL", "CCCC", "LCCC", "LLCC", "LLLC"]),
        "stem": ipywidgets.Dropdown(options=["imagenet", "cifar"]),
        "se_ratio": ipywidgets.Dropdown(options=[("none", None), ("16", 16), ("8", 8), ("4", 4)]),
    }

    def count(**shape) -> int:
        return model_cost(model_config(f"lambda_resnet{depth}", **shape), 224).parameters

    def explain(**shape) -> str:
        try:
            return f"<b>{count(**shape):,}</b> parameters: lambda_resnet{depth} with {shape}"
        except UserError as error:
            return f"<b>{error}</b>"

    return Explorer(lambda **shape: plot_count(count(**shape), printed), choose, explain)
