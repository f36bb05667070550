"""The epochs of many runs: learning curves, by the epoch and by what they had cost by then."""

from pathlib import Path

from lambdalab.runs import Run

COST_SO_FAR = {"seconds": "seconds so far", "cpu_seconds": "CPU-seconds so far"}


def read_curves(folder: Path, runs):
    """Return the epochs of runs as a pandas table, a line an epoch, with the run's group, its seed and costs so far.

    Args:
        folder: where the runs are.
        runs: the finished ones, as ``grouping.grouped`` returns them.

    Raises:
        UserError: if a run's metrics.csv is gone.
    """
    import pandas

    tables = []
    for run in runs.itertuples():
        epochs = Run(folder / run.run).metrics
        for column, name in COST_SO_FAR.items():
            epochs[name] = epochs[column].cumsum() if column in epochs else float("nan")
        tables.append(epochs.assign(group=run.group, run=run.run))
    return pandas.concat(tables, ignore_index=True)


def mean_curves(curves, quantity: str = "val_top1", along: str = "epoch"):
    """Return a line for each group and epoch: the quantity's mean, least and largest over the runs that got so far.

    ``along`` is "epoch" or one of the costs so far, whose mean over the runs becomes the column of this name.
    """
    shape = {"mean": (quantity, "mean"), "low": (quantity, "min"), "high": (quantity, "max"), "n": (quantity, "count")}
    found = curves.groupby(["group", "epoch"], sort=False).agg(**shape, along=(along, "mean")).reset_index()
    if along == "epoch":
        return found.drop(columns="along")
    return found.rename(columns={"along": along}).dropna(subset=[along])


def reached(curves, budget: float, quantity: str = "val_top1", along: str = "CPU-seconds so far"):
    """Return what each group had reached when a budget was spent: the mean over its runs of the last epoch within it.

    A run whose first epoch takes longer counts as not a number, and so does its group.
    """
    within = curves[curves[along] <= budget].groupby(["group", "run"], sort=False)[quantity].last()
    every = curves.groupby(["group", "run"], sort=False).size().index
    return within.reindex(every).groupby("group", sort=False).agg(lambda values: values.mean(skipna=False))
