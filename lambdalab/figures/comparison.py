"""Figures of runs compared: every seed, differences in pairs, accuracy against cost, learning curves of many runs."""

from itertools import cycle

from lambdalab.comparison import COSTS, METRICS, Comparison, pareto_front
from lambdalab.curves import mean_curves
from lambdalab.figures.base import new_axes
from lambdalab.figures.cost import MARKERS

OTHERS = "0.75"  # grey, for the groups that are not highlighted
VERDICT_COLOURS = {"better": 0, "worse": 3, "cannot tell": 7}  # places in the palette: blue, red, grey


def plot_seeds(runs, metric: str = "test_top1", ax=None):
    """Draw each run as a dot, a line a group, with the group's mean ± standard deviation of the sample.

    Args:
        runs: as ``grouping.grouped`` returns them.
        metric: one of ``comparison.METRICS``.
        ax: where to draw; a new figure if not given.
    """
    shown, palette = METRICS[metric], _palette()
    groups = list(dict.fromkeys(runs["group"]))
    ax = ax or new_axes(8, 1.3 + 0.32 * len(groups))
    for place, name in enumerate(groups):
        values = runs.loc[runs["group"] == name, metric].dropna() * shown.factor
        ax.plot(values, [place] * len(values), "o", color=palette[0], markersize=5, alpha=0.7)
        if len(values) > 1:
            bar = {"fmt": "|", "color": "black", "markersize": 12, "capsize": 3, "linewidth": 1}
            ax.errorbar(values.mean(), place + 0.25, xerr=values.std(), **bar)
    ax.plot([], [], "o", color=palette[0], label="a run")
    ax.errorbar([], [], xerr=[], fmt="|", color="black", markersize=12, capsize=3, label="mean ± sd")
    _names(ax, groups)
    ax.set(xlabel=f"{shown.label} [{shown.unit}]", title="Every run")
    ax.legend(fontsize=8, loc="best")
    return ax


def plot_paired(comparisons: list[Comparison], metric: str = "test_top1", confidence: float = 0.95, ax=None):
    """Draw the differences of each comparison as dots, a dot a seed, with their mean and its interval.

    Args:
        comparisons: as ``comparison.compare`` returns them.
        metric: that they are about.
        confidence: of their intervals, for the legend.
        ax: where to draw; a new figure if not given.
    """
    shown, palette = METRICS[metric], _palette()
    ax = ax or new_axes(8, 1.5 + 0.36 * len(comparisons))
    for place, found in enumerate(comparisons):
        colour = palette[VERDICT_COLOURS[found.verdict]]
        ax.plot(found.differences, [place] * len(found.differences), "o", color=colour, markersize=4, alpha=0.6)
        edges = [[found.mean - found.low], [found.high - found.mean]] if found.low == found.low else None
        style = {"fmt": "D", "color": colour, "markersize": 6, "capsize": 4, "markerfacecolor": "white"}
        ax.errorbar(found.mean, place + 0.25, xerr=edges, **style)
    for verdict, index in VERDICT_COLOURS.items():
        ax.plot([], [], "s", color=palette[index], label=verdict)
    ax.axvline(0, color="black", linewidth=1)
    _names(ax, [f"{found.row} − {found.against}" for found in comparisons])
    ax.set(xlabel=f"difference of {shown.label} [{shown.difference}]")
    ax.set_title(f"Dots: pairs of one seed; diamonds: their mean and its {100 * confidence:g} % interval", fontsize=10)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def plot_pareto(table, costs: list[str], metric: str = "test_top1", highlight: list[str] | None = None, axes=None):
    """Draw the groups' mean metric ± sd against costs, with the front: what none beats that costs as little.

    Returns the last Axes.

    Args:
        table: as ``comparison.summary`` returns it.
        costs: columns of it from ``comparison.COSTS``, an Axes each; groups whose cost is unknown are left out.
        metric: that the table is about.
        highlight: the groups to colour, the others being grey; ``None``: all.
        axes: an Axes for each cost; a new figure if not given.
    """
    shown = METRICS[metric]
    axes = new_axes(2 + 3.1 * len(costs), 4.2, len(costs), sharey=True, squeeze=False)[0] if axes is None else axes
    styles = _styles(table.index, highlight)
    for ax, cost in zip(axes, costs, strict=True):
        for name, row in table.iterrows():
            colour, marker = styles.get(name, (OTHERS, "o"))
            style = {"color": colour, "marker": marker, "markersize": 7, "capsize": 3, "linestyle": "none"}
            style |= {"label": name} if name in styles else {"zorder": 1}
            ax.errorbar(row[cost], row["mean"], yerr=None if row["sd"] != row["sd"] else row["sd"], **style)
        if len(styles) < len(table):
            ax.errorbar([], [], fmt="o", color=OTHERS, label="others")
        better = table["mean"] if shown.higher_is_better else -table["mean"]
        front = table[pareto_front(table[cost], better)].sort_values(cost)
        ax.plot(front[cost], front["mean"], color="black", linewidth=1, linestyle=":", zorder=0, label="front")
        _name_points(ax, front[cost], front["mean"])
        ax.set(xscale="log", xlabel=COSTS[cost])
        ax.set_title(f"{shown.label} by {COSTS[cost]}", fontsize=9)
        _plain_numbers(ax.xaxis)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(f"{shown.label} [{shown.unit}]")
    axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
    return axes[-1]


def plot_learning_curves(curves, along: str = "epoch", highlight: list[str] | None = None, ax=None):
    """Draw the groups' mean validation accuracy, with a band from the lowest to the highest run.

    Args:
        curves: as ``curves.read_curves`` returns them.
        along: "epoch", or one of ``curves.COST_SO_FAR``.
        highlight: the groups to colour, the others being grey; ``None``: all.
        ax: where to draw; a new figure if not given.
    """
    ax = ax or new_axes(7, 4.2)
    means = mean_curves(curves, "val_top1", along)
    groups = list(dict.fromkeys(means["group"]))
    styles = _styles(groups, highlight)
    for name in [*(name for name in groups if name not in styles), *styles]:
        mine = means[means["group"] == name]
        colour, marker = styles.get(name, (OTHERS, ""))
        label = name if name in styles else None
        ax.plot(mine[along], 100 * mine["mean"], color=colour, marker=marker, markersize=5, label=label)
        if name in styles:
            ax.fill_between(mine[along], 100 * mine["low"], 100 * mine["high"], color=colour, alpha=0.2, linewidth=0)
    if len(styles) < len(groups):
        ax.plot([], [], color=OTHERS, label="others")
    ax.set(title=f"validation top-1 by {along}", xlabel=along, ylabel="validation top-1 [%]")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return ax


def _palette():
    import seaborn

    return seaborn.color_palette("colorblind")


def _styles(groups, highlight: list[str] | None) -> dict[str, tuple]:
    """Return a colour and a marker for each highlighted group, or for all; no two are alike up to 40."""
    palette, coloured = _palette(), [name for name in groups if highlight is None or name in highlight]
    looks = [(colour, marker) for marker in MARKERS for colour in palette]
    return dict(zip(coloured, cycle(looks)))


def _names(ax, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(alpha=0.3)


def _name_points(ax, xs, ys) -> None:
    """Write each point's name beside it, on the side where the axes have more room."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white")]  # readable across other points
    middle = (min(ax.dataLim.intervalx) * max(ax.dataLim.intervalx)) ** 0.5  # of a logarithmic axis
    for name, x, y in zip(xs.index, xs, ys, strict=True):
        side, align = (7, "left") if x <= middle else (-7, "right")
        style = {"ha": align, "fontsize": 7, "path_effects": halo, "zorder": 3}
        ax.annotate(name, (x, y), (side, 4), textcoords="offset points", **style)


def _plain_numbers(axis) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, or at even steps where the axis is too short for them."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    axis.axes.autoscale_view()
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high / low > 6 else MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_locator(NullLocator())
