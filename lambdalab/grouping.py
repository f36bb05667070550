"""Which runs belong together: rows of runs that differ in their seed alone, chosen by pattern; what tells rows apart.

All of it works on the pandas table of ``runs.read_runs``, a run a line.
"""

from fnmatch import fnmatch

from lambdalab.errors import UserError, did_you_mean

SEEDS = ["train.seed", "data.split_seed"]  # runs of a row differ in these, runs of a pair do not
FOLLOWS = ("train.device", "data.mean", "data.std")  # from the machine, whose device is a column, and the pictures


def settings(runs) -> list[str]:
    """Return the columns that say how runs were made: model, data, recipe and device, but neither seeds nor names."""
    parts = [name for name in runs.columns if name.startswith(("model.", "data.", "train."))]
    return [name for name in parts if name not in (*SEEDS, *FOLLOWS)] + ["device"]


def differing(runs) -> list[str]:
    """Return the settings that are not the same in all runs."""
    return [name for name in settings(runs) if as_text(runs[name]).nunique() > 1]


def as_text(column):
    """Return a column as text, to be compared by value, lists too; whatever is missing is "None"."""
    return column.astype(object).where(column.notna(), None).map(repr)


def short(setting: str) -> str:
    """Return a setting's name without its part: "scope" for "model.scope"."""
    return setting.rpartition(".")[2]


def chosen(runs, patterns: list[str], planned: list[str] | None = None):
    """Return the runs whose row fits one of the patterns: the rows ``planned`` in their order, then others by name.

    Columns that say nothing about any of them are left out.

    Raises:
        UserError: if a pattern fits neither a finished run's row nor a planned one, or nothing chosen has finished.
    """
    finished = [] if runs.empty else list(dict.fromkeys(runs["row"]))
    known = list(dict.fromkeys([*(planned or []), *finished]))
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in known):
            shown = ", ".join(finished[:5]) + ", …" * (len(finished) > 5)
            there = f"finished are {shown}" if finished else "no run has finished yet"
            raise UserError(f"no row '{pattern}'{did_you_mean(pattern, known)} ({there})")
    picked = [name for name in known if name in finished and any(fnmatch(name, each) for each in patterns)]
    if not picked:
        raise UserError(f"no run of {', '.join(patterns)} has finished yet; lambdalab replay makes them")
    place = runs["row"].map({name: index for index, name in enumerate(picked)})
    kept = runs.assign(place=place)[place.notna()].dropna(axis="columns", how="all")
    return kept.sort_values(["place", *SEEDS]).drop(columns="place").reset_index(drop=True)


def grouped(runs, by: str = "row"):
    """Return the runs with a column ``group``, in which runs differ in their seed alone.

    Args:
        runs: a table of finished runs.
        by: "row", or a setting whose values become the groups, "model.scope" for instance.

    Raises:
        UserError: if there is no such setting, or a group mixes runs that differ in more, or has a seed twice.
    """
    allowed = ["row", *settings(runs)]
    if by not in allowed:
        some = ", ".join(["row", *differing(runs)])
        raise UserError(f"cannot group by '{by}'{did_you_mean(by, allowed)} (these runs differ in {some})")
    values = runs["row"] if by == "row" else short(by) + " " + as_text(runs[by]).str.strip("'")
    runs = runs.assign(group=values)
    for name, group in runs.groupby("group", sort=False):
        if mixed := [short(setting) for setting in differing(group)]:
            what = ", ".join(mixed[:4]) + ", …" * (len(mixed) > 4)
            raise UserError(f"'{name}' would mix runs that differ in {what}; choose fewer rows, or group by row")
        if group.duplicated(SEEDS).any():
            raise UserError(f"'{name}' has two runs of one seed ({', '.join(group['run'])}); choose one of them")
    return runs


def machines(runs):
    """Return on which machine each group was trained, as a pandas column: seconds compare on one machine alone.

    Args:
        runs: as ``grouped`` returns them.

    Returns:
        By group, the GPU's or the processor's name; "unnamed" where the runs do not say, all if there are several.
    """
    named = runs["machine"].fillna("unnamed") if "machine" in runs else runs["group"].map(lambda _: "unnamed")
    return named.groupby(runs["group"], sort=False).agg(lambda each: " and ".join(sorted(set(each))))


def mean_sd(values, digits: int = 2) -> str:
    """Return "mean ± standard deviation of the sample" as text; a single value has no ±, and none is "not run"."""
    import pandas

    values = pandas.Series(values, dtype=float).dropna()
    if values.empty:
        return "not run"
    return f"{values.mean():.{digits}f}" + (f" ± {values.std():.{digits}f}" if len(values) > 1 else "")
