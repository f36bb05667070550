"""Rows of runs compared: seed by seed, each with the convolutional row of its recipe; and what is best at its cost.

All of it works on the table that ``grouping.grouped`` returns. Means, deviations, intervals and tests are those of
pandas and SciPy.
"""

from dataclasses import dataclass
from typing import NamedTuple

from lambdalab.errors import UserError, did_you_mean
from lambdalab.grouping import SEEDS, differing, short

# These change what a run costs, and its result by rounding alone.
ROUNDING = ("train.channels_last", "train.cuda_graphs", "model.contraction", "device")


class Metric(NamedTuple):
    """What a run is judged by: a column of the table, shown ``factor`` times as large in a unit."""

    label: str
    unit: str
    difference: str  # the unit of a difference
    factor: float
    higher_is_better: bool


def _top1(label: str) -> Metric:
    return Metric(f"{label} top-1", "%", "points", 100, True)


METRICS = {
    "test_top1": _top1("test"),
    "lossless_top1": _top1("lossless test"),
    "val_top1": _top1("validation"),
    "train_top1": _top1("training"),
    "test_loss": Metric("test cross-entropy", "nats", "nats", 1, False),
    "lossless_loss": Metric("lossless test cross-entropy", "nats", "nats", 1, False),
}
VERDICTS = ("better", "worse", "cannot tell")
COSTS = {
    "parameters": "parameters",
    "macs": "multiply-adds of a picture",
    "cpu_seconds": "CPU-seconds of training",
    "seconds": "seconds of training",
    "peak_megabytes": "peak memory of training [MB]",
}


@dataclass(frozen=True)
class Comparison:
    """A row against another, seed by seed.

    Attributes:
        row: the group's name; ``against`` is the other's.
        seeds: those that both have.
        differences: the row's metric minus the other's, by seed, in the metric's unit; ``mean`` and ``sd`` are theirs.
        low, high: the mean's interval by Student's t; not a number for one pair, or pairs without spread.
        p: of the exact two-sided test that flips the differences' signs; with n pairs at least 2/2ⁿ.
        differs: the network's settings in which the two rows differ, without its name.
        verdict: "better" or "worse" if the interval lies on one side of zero, else "cannot tell".
    """

    row: str
    against: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float
    sd: float
    low: float
    high: float
    p: float
    differs: tuple[str, ...]
    verdict: str

    def __str__(self) -> str:
        mean = f"{self.row} − {self.against}: {self.mean:+.2f}"
        if self.low != self.low:
            return f"{mean} (n = {len(self.seeds)}): {self.verdict}"
        return f"{mean} (n = {len(self.seeds)}, {self.low:+.2f} to {self.high:+.2f}): {self.verdict}"


def summary(runs, metric: str = "test_top1"):
    """Return a pandas table, a line a group: n, the metric's mean and sd in its unit, mean costs; unknown is NaN."""
    costs = {name: (name, "mean") for name in COSTS if name in runs}
    found = runs.groupby("group", sort=False).agg(
        n=(metric, "count"), mean=(metric, "mean"), sd=(metric, "std"), **costs
    )
    found[["mean", "sd"]] *= METRICS[metric].factor
    return found


def compare(
    runs, metric: str = "test_top1", reference: str | None = None, confidence: float = 0.95
) -> tuple[list[Comparison], dict[str, str]]:
    """Compare groups in pairs of equal seeds; the two have the same recipe and the same pictures.

    Args:
        runs: as ``grouping.grouped`` returns them.
        metric: one of ``METRICS``.
        reference: the group that all others are compared with. ``None``: every group with lambda layers is compared
            with the convolutional network of its depth and width that it is most like.
        confidence: of the intervals.

    Returns:
        The comparisons, and for each group that has none the reason.

    Raises:
        UserError: an unknown metric or reference, or a confidence that is none.
    """
    check_choice(runs, metric, reference, confidence)
    firsts = runs.drop_duplicates("group").set_index("group")
    found, apart = [], {}
    for name in firsts.index:
        others, apart[name] = _partners(firsts, name, reference)
        if others:
            made = paired(runs, name, others[0], metric, confidence)
            apart[name] = "" if made else f"no seed in common with {others[0]}"
            found += [made] if made else []
    return found, {name: reason for name, reason in apart.items() if reason}


def time_column(runs) -> str:
    """Return the processor's seconds, which a busy machine stretches least, where recorded.

    Returns:
        "cpu_seconds" if all runs have them, else "seconds", the clock's.
    """
    return "cpu_seconds" if "cpu_seconds" in runs and runs["cpu_seconds"].notna().all() else "seconds"


def check_choice(runs, metric: str, reference: str | None, confidence: float) -> None:
    """Refuse what ``compare`` cannot do.

    Raises:
        UserError: an unknown metric or reference, or a confidence that is none.
    """
    if metric not in METRICS:
        near = did_you_mean(metric, list(METRICS))
        raise UserError(f"unknown metric '{metric}'{near} (there are {', '.join(METRICS)})")
    if metric not in runs or runs[metric].isna().all():
        raise UserError(f"none of these runs has recorded {metric}; choose another metric")
    groups = list(dict.fromkeys(runs["group"]))
    if reference is not None and reference not in groups:
        near = did_you_mean(reference, groups)
        raise UserError(f"no finished row '{reference}' to compare with{near} (there are {', '.join(groups)})")
    if not 0.5 <= confidence < 1:
        raise UserError(f"confidence must be at least 0.5 and below 1, got {confidence}")


def _partners(firsts, name: str, reference: str | None) -> tuple[list[str], str]:
    """Return the groups that one may be compared with, the most alike first; if there is none, the reason."""
    if name == reference or (reference is None and convolutional(firsts.loc[name])):
        return [], "what others are compared with"
    if reference is None:
        candidates = [other for other in firsts.index if other != name and convolutional(firsts.loc[other])]
    else:
        candidates = [reference]
    alike, unlike = {}, {}
    for other in candidates:
        different = [each for each in differing(firsts.loc[[name, other]]) if each not in ROUNDING]
        fixed = [each for each in different if each.startswith(("data.", "train."))]
        if reference is None:
            fixed += [each for each in different if each in ("model.depths", "model.width")]
        (unlike if fixed else alike)[other] = fixed or different
    if alike:
        return sorted(alike, key=lambda other: len(alike[other])), ""
    if not unlike:
        return [], "no convolutional row has finished"
    nearest = min(unlike, key=lambda other: len(unlike[other]))
    what = dict.fromkeys("pictures" if each.startswith("data.") else short(each) for each in unlike[nearest])
    return [], f"unlike {nearest} in {', '.join(what)}"


def convolutional(run) -> bool:
    """Whether a run's network has no lambda layer; of your own networks nothing is known."""
    stages = run.get("model.stages")
    return isinstance(stages, str) and "L" not in stages


def paired(runs, name: str, against: str, metric: str = "test_top1", confidence: float = 0.95) -> Comparison | None:
    """Compare two groups in pairs of equal seeds, whatever they differ in; ``compare`` asks first what may be paired.

    Args:
        runs: as ``grouping.grouped`` returns them.
        name: the group whose metric counts as positive, and ``against`` the one that is subtracted.
        metric: one of ``METRICS``.
        confidence: of the interval.

    Returns:
        The comparison; None if no seed has finished in both.
    """
    import numpy as np
    from scipy import stats

    row, other = (runs[runs["group"] == group] for group in (name, against))
    pairs = row.merge(other, on=SEEDS, suffixes=("", " of the other")).dropna(subset=[metric, f"{metric} of the other"])
    if pairs.empty:
        return None
    values = (pairs[metric] - pairs[f"{metric} of the other"]) * METRICS[metric].factor
    mean, sd, count = values.mean(), values.std(), len(values)
    low = high = p = float("nan")
    if count > 1 and sd > 0:
        low, high = stats.t.interval(confidence, count - 1, mean, stats.sem(values))
        p = stats.permutation_test((values.to_numpy(),), np.mean, permutation_type="samples").pvalue
    better, worse = (low > 0, high < 0) if METRICS[metric].higher_is_better else (high < 0, low > 0)
    verdict = "better" if better else "worse" if worse else "cannot tell"
    different = differing(runs.loc[[row.index[0], other.index[0]]])
    differs = [short(each) for each in different if each.startswith("model.") and each != "model.name"]
    seeds = tuple(int(seed) for seed in pairs["train.seed"])
    numbers = map(float, (mean, sd, low, high, p))
    return Comparison(name, against, seeds, tuple(values), *numbers, tuple(differs), verdict)


def pareto_front(costs, values):
    """Return which points no other one beats: none costs as little or less and is worth as much or more, one strictly.

    Args:
        costs: a pandas column, the less the better.
        values: another of the same lines, the more the better.

    Returns:
        A column of booleans; False where either is unknown.
    """
    import numpy as np

    cost, value = (np.asarray(column, dtype=float) for column in (costs, values))
    as_good = (cost[None, :] <= cost[:, None]) & (value[None, :] >= value[:, None])
    better = (cost[None, :] < cost[:, None]) | (value[None, :] > value[:, None])
    known = ~(np.isnan(cost) | np.isnan(value))
    return costs.notna() & known & ~(as_good & better).any(axis=1)
