"""Figures of benchmarks: how much longer the others take, shape by shape; networks' steps; growth with the picture.

Each takes rows as ``lambdalab.bench`` returns them, or as ``lambdalab.bench.records.read_rows`` reads them from CSV.
"""

from lambdalab.figures.base import new_axes
from lambdalab.figures.cost import MARKERS

OURS = "lambdalab"


def plot_peers(rows: list[dict], axes=None):
    """Draw the others' time over ours as dots with quartiles, a line a shape, forward alone and with backward.

    Hollow dots are peers that did less work. Dashed lines are geometric means, over local scopes and equal work.
    Returns the last Axes.

    Args:
        rows: of ``LayerBench``.
        axes: two Axes in a row with the shapes in common; a new figure if not given.
    """
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    axes = new_axes(11, 1.6 + 0.27 * len(shapes), columns=2, sharey=True) if axes is None else axes
    for ax, kind, title in zip(axes, ("forward", "training"), ("forward alone", "forward + backward"), strict=True):
        _dots([row for row in rows if row["pass"] == kind and row["side"] != OURS], shapes, ax)
        ax.axvline(1, color="black", linewidth=1)
        ax.set(xscale="log", title=title, xlabel="time of the others / ours")
        _plain_ticks(ax.xaxis)
        ax.grid(alpha=0.3)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.55 / ax.figure.get_figheight()), ncols=3, fontsize=8)
    axes[0].set_yticks(range(len(shapes)), shapes, fontsize=8, family="monospace")
    axes[0].invert_yaxis()
    return axes[-1]


def _dots(rows: list[dict], shapes: list[str], ax) -> None:
    import numpy as np

    peers = list(dict.fromkeys(row["side"] for row in rows))
    for index, (peer, colour, marker) in enumerate(zip(peers, _colours(len(peers)), MARKERS, strict=False)):
        mine, label = [row for row in rows if row["side"] == peer], peer
        for row in mine:
            y = shapes.index(row["shape"]) + 0.22 * (index - (len(peers) - 1) / 2)
            fill = colour if row["work"] == "equal" else "white"
            ax.plot([row["ratio_low"], row["ratio_high"]], [y, y], color=colour, linewidth=1.5)
            ax.plot(row["ratio"], y, marker, color=colour, markerfacecolor=fill, markersize=5)
        for context in ("local", "global"):
            equal = [row["ratio"] for row in mine if row["work"] == "equal" and row["context"] == context]
            if equal:
                mean = float(np.exp(np.mean(np.log(equal))))
                label += f"\n{context} mean {mean:.2f}"
                if context == "local":
                    ax.axvline(mean, color=colour, linestyle="--", linewidth=1)
        ax.plot([], [], marker, color=colour, label=label)


def plot_networks(rows: list[dict], ax=None):
    """Draw how long a training step takes, in steps of the lambda network, for each case; bars with quartiles.

    Args:
        rows: of ``ModelBench``.
        ax: where to draw; a new figure if not given.
    """
    cases = list(dict.fromkeys((row["depth"], row["size"]) for row in rows))
    sides = list(dict.fromkeys(row["side"] for row in rows))
    ax = ax or new_axes(3 + 1.6 * len(cases), 3.8)
    width = 0.8 / len(sides)
    for index, (side, colour) in enumerate(zip(sides, _colours(len(sides)), strict=True)):
        mine = {(row["depth"], row["size"]): row for row in rows if row["side"] == side}
        values = [mine[case]["ratio"] for case in cases]
        spread = [[abs(mine[case]["ratio"] - mine[case][end]) for case in cases] for end in ("ratio_low", "ratio_high")]
        places = [x + width * (index - (len(sides) - 1) / 2) for x in range(len(cases))]
        bars = ax.bar(places, values, width * 0.95, yerr=spread, color=colour, label=side, error_kw={"linewidth": 1})
        ax.bar_label(bars, [f"{mine[case]['seconds']:.3g} s" for case in cases], fontsize=8, padding=2)
    ax.set_xticks(range(len(cases)), [f"depth {depth}\n{size}²" for depth, size in cases])
    ax.set(ylabel="time of a training step / lambda network's", title="training step")
    ax.margins(y=0.25)
    ax.legend(fontsize=8, ncols=len(sides), loc="upper center")
    return ax


def plot_scaling(rows: list[dict], axes=None):
    """Draw time, with quartiles, and peak memory against the picture, on logarithmic scales; returns the last Axes.

    Args:
        rows: of ``ScalingBench``.
        axes: two Axes in a row; a new figure if not given. Memory that was not measured but estimated is hollow.
    """
    axes = new_axes(10, 4.2, columns=2) if axes is None else axes
    series = list(dict.fromkeys(row["series"] for row in rows))
    for name, colour, marker in zip(series, _colours(len(series)), MARKERS, strict=False):
        mine = [row for row in rows if row["series"] == name]
        ran = [row for row in mine if row["run"]]
        pixels = [row["pixels"] for row in ran]
        axes[0].plot(pixels, [row["seconds"] for row in ran], marker=marker, color=colour, label=name)
        edges = [[row[end] for row in ran] for end in ("seconds_low", "seconds_high")]
        axes[0].fill_between(pixels, *edges, color=colour, alpha=0.25, linewidth=0)
        axes[1].plot(pixels, [row["peak_mb"] for row in ran], marker=marker, color=colour, label=name)
        rest = mine[max(0, len(ran) - 1) :]
        axes[1].plot([row["pixels"] for row in rest], [row["peak_mb"] for row in rest], ":", color=colour)
        rest = [row for row in mine if not row["run"]]
        places, peaks = [row["pixels"] for row in rest], [row["peak_mb"] for row in rest]
        axes[1].plot(places, peaks, marker, color=colour, markerfacecolor="white")
    pixels = sorted({row["pixels"] for row in rows})
    for ax, label in zip(axes, ("forward + backward [s]", "peak memory [MB]; hollow: estimated, not run"), strict=True):
        ax.set(xscale="log", yscale="log", xlabel="pixels n", ylabel=label)
        ax.set_xticks(pixels, [f"{round(n**0.5)}²" for n in pixels])
        ax.xaxis.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=9)
    return axes[-1]


def _colours(count: int):
    import seaborn

    return seaborn.color_palette("colorblind", max(count, 1))


def _plain_ticks(axis) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
