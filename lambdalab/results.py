"""Result tables in Markdown, drawn from the runs' folders: by settings, by the queue's rows, beside the old README's.

The README and notebook 09 show what these functions return. A cell's runs are the folders that begin with its row.
"""

from pathlib import Path

from lambdalab.comparison import Comparison, compare
from lambdalab.errors import UserError
from lambdalab.grouping import as_text, chosen, grouped, mean_sd, settings
from lambdalab.published import read_reference
from lambdalab.queue import Row, planned_runs
from lambdalab.replay import differences
from lambdalab.runs import Run, read_runs

NOT_RUN = "not run"


def results_table(folder: Path, patterns: list[str] | None = None, planned: list[str] | None = None) -> str:
    """Return the finished runs below a folder as a Markdown table: one line for runs that differ in their seed alone.

    Columns: the folders' names without their seeds, the model, its data and epochs, parameters, test top-1 as mean ±
    standard deviation (of the sample) in percent, the number n of seeds, and the mean seconds of training.

    Args:
        folder: where the runs are.
        patterns: of the rows to show, ``digits-*`` for instance; none: all.
        planned: the queue's rows, which come first, in its order.

    Raises:
        UserError: if there is no finished run, or a pattern fits none.
    """
    runs = read_runs(folder)
    if runs.empty:
        raise UserError(f"no finished run below {folder}; lambdalab train makes one")
    runs = chosen(runs, patterns or ["*"], planned)
    lines = []
    for _, group in runs.groupby([as_text(runs[name]) for name in settings(runs)], sort=False):
        first, rows = group.iloc[0], ", ".join(dict.fromkeys(group["row"]))
        shape = first["model.name"], first["data.name"], str(first["train.epochs"]), f"{first['parameters']:,}"
        top1 = mean_sd(100 * group["test_top1"])
        lines.append((rows, *shape, top1, str(len(group)), f"{group['seconds'].mean():.0f}"))
    columns = ["row", "model", "data", "epochs", "parameters", "test top-1 [%]", "n", "seconds"]
    return _markdown(columns, lines, words=3)


def queue_table(rows: list[Row], folder: Path) -> str:
    """Return the queue's rows in Markdown, a table for each kind of pictures, with "not run" where no run has finished.

    Beside the columns of ``results_table``: the mean difference in points of test top-1, with its interval of 95 %, to
    the convolutional network of the same recipe, pictures, depth and width (``comparison.compare``); multiply-adds of a
    picture; seconds of the processor, which a busy machine stretches less than the clock's; and test top-1 on the
    pictures that are there without loss, whose number stands above.
    """
    runs = of_the_queue(rows, folder)
    if not runs.empty:
        runs = grouped(runs)
    found = {} if runs.empty else {each.row: each for each in compare(runs)[0]}
    tables = []
    for label in dict.fromkeys(row.source.label for row in rows):
        mine = runs if runs.empty else runs[runs["data.name"] == label]
        table = _table_of_pictures([row for row in rows if row.source.label == label], mine, found)
        tables.append(f"On {label}:\n\n{table}")
    return "\n\n".join(tables)


def _table_of_pictures(rows: list[Row], runs, found: dict[str, Comparison]) -> str:
    lines = []
    for row in rows:
        mine = runs if runs.empty else runs[runs["group"] == row.name]
        top1, n, difference, *costs = _result(mine, found.get(row.name)) if len(mine) else (NOT_RUN, "0", "")
        lines.append((row.name, row.model, top1, n, difference, str(row.settings["epochs"]), *costs))
    columns = ["row", "model", "test top-1 [%]", "n", "− convolutions [points]", "epochs", "parameters"]
    columns += ["multiply-adds", "CPU-seconds", f"top-1 on {_lossless_count(runs)}lossless [%]"]
    return _markdown(columns, lines, words=2)


def _lossless_count(runs) -> str:
    counts = sorted(set(runs["lossless_pictures"].dropna())) if "lossless_pictures" in runs else []
    return "".join(f"{count:,.0f} " for count in counts)


def _result(runs, comparison: Comparison | None) -> tuple[str, ...]:
    first = runs.iloc[0]
    lossless = ""
    if "lossless_top1" in runs and runs["lossless_top1"].notna().all():
        lossless = mean_sd(100 * runs["lossless_top1"])
    difference = ""
    if comparison is not None:
        known = comparison.low == comparison.low
        difference = f"{comparison.mean:+.2f}" + f" ({comparison.low:+.2f} to {comparison.high:+.2f})" * known
    seconds = f"{runs['cpu_seconds'].mean():,.0f}" if runs["cpu_seconds"].notna().any() else ""
    answer = mean_sd(100 * runs["test_top1"]), str(len(runs)), difference
    return *answer, f"{first['parameters']:,}", f"{first['macs'] / 1e6:.1f} M", seconds, lossless


def readme_table(rows: list[Row], folder: Path) -> str:
    """Return the original README's CIFAR-10 accuracies, and what upstream printed later, beside the queue's runs.

    A line for each row of the queue that measures one of them anew (``readme``), "not run" where none has finished; a
    table for each kind of pictures.
    """
    import pandas

    claims = read_reference("readme_cifar10")
    runs = of_the_queue(rows, folder)
    tables = {}
    for row in sorted((row for row in rows if row.readme), key=lambda row: row.readme):
        claim = claims.iloc[row.readme - 1]
        letters = [str(claim[name]) for name in ("dim_k", "heads", "dim_u", "scope") if not pandas.isna(claim[name])]
        name = claim["model"].removesuffix("_original") + (f" ({', '.join(letters)})" if letters else "")
        mine = [] if runs.empty else 100 * runs[runs["row"] == row.name]["test_top1"]
        printed = [_claim(claim, "readme"), _claim(claim, "upstream")]
        lines = tables.setdefault(row.source.label, [])
        lines.append((name, *printed, row.name, mean_sd(mine), str(len(mine))))
    columns = ["README's row (k, h, u, m)", "its claim [%]", "upstream later [%]", "here", "test top-1 [%]", "n"]
    return "\n\n".join(f"Here on {label}:\n\n{_markdown(columns, lines, words=4)}" for label, lines in tables.items())


def _claim(claim, source: str) -> str:
    import pandas

    top1, epochs = claim[f"{source}_top1"], claim[f"{source}_epochs"]
    after = "" if pandas.isna(epochs) else f" ({epochs} epochs)"
    return "" if pandas.isna(top1) else f"{top1:.2f}{after}"


def of_the_queue(rows: list[Row], folder: Path):
    """Return the finished runs of the queue's rows, in its order; what was trained with other settings is left out."""
    names = []
    for planned in planned_runs(rows):
        run = Run(folder / planned.name)
        if run.finished and not differences(run.config, planned):
            names.append(planned.name)
    runs = read_runs(folder)
    return runs.set_index("run").loc[names].reset_index() if names else runs.iloc[:0]


def _markdown(columns: list[str], lines: list[tuple[str, ...]], words: int) -> str:
    """Return a table whose first columns hold words, and the others numbers; missing cells are a dash."""
    rule = "|---" * words + "|--:" * (len(columns) - words) + "|"
    body = [[cell or "–" for cell in (*line, *[""] * (len(columns) - len(line)))] for line in lines]
    head, *rest = ["| " + " | ".join(line) + " |" for line in (columns, *body)]
    return "\n".join([head, rule, *rest])
