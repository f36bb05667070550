"""Figures of printed and recounted numbers of parameters."""

from textwrap import fill

from lambdalab.figures.base import new_axes


def plot_waterfall(steps: list[tuple[str, int]], target: float | None = None, ax=None):
    """Draw how changes, one after another, lead from one number of parameters to another.

    Args:
        steps: (what changes, parameters then); the first is where it starts.
        target: a printed number of millions to draw as a line.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(9, 3.8)
    start, *changes, end = seaborn.color_palette("colorblind", 3)
    labels, before = [], 0
    for index, (label, count) in enumerate(steps):
        first = index == 0
        bottom, height = (0, count) if first else (before, count - before)
        ax.barh(index, height / 1e6, left=bottom / 1e6, color=start if first else changes[0], height=0.6)
        text = f"{count:,}" if first else f"+{height:,}" if height >= 0 else f"−{-height:,}"
        ax.text(max(bottom + height, bottom) / 1e6, index, f" {text}", va="center", fontsize=9)
        labels.append(fill(label, 34))
        before = count
    ax.barh(len(steps), before / 1e6, color=end, height=0.6)
    ax.text(before / 1e6, len(steps), f" {before:,}", va="center", fontsize=9)
    if target is not None:
        ax.axvline(target, color="black", linestyle="--", linewidth=1)
        ax.text(target, -0.75, f"printed: {target:g} M", ha="center", va="bottom", fontsize=9)
    low = min(count for _, count in steps) / 1e6
    span = before / 1e6 - low
    ax.set_xlim(low - 0.35 * span, before / 1e6 + 0.35 * span)
    ax.set_yticks(range(len(steps) + 1), [*labels, "together"], fontsize=9)
    ax.invert_yaxis()
    ax.set_xlabel("parameters [millions]; the axis does not begin at 0")
    ax.set_title("From one count to the other, change by change", pad=24)
    return ax


def plot_printed(rows, ax=None):
    """Draw each row's printed minus recounted number, the paper's and the README's, within ±0.05 or beyond.

    Args:
        rows: of a table, each a ``tables.Row``.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(8, 0.3 * len(rows) + 1.4)
    colours = seaborn.color_palette("colorblind")
    for source, colour, marker, shift in (("paper", colours[0], "o", -0.14), ("readme", colours[1], "s", 0.14)):
        found = [(index, getattr(row, source)) for index, row in enumerate(rows) if getattr(row, source)]
        if found:
            x, y = [verdict.difference for _, verdict in found], [index + shift for index, _ in found]
            ax.scatter(x, y, color=colour, marker=marker, label="README" if source == "readme" else source, zorder=3)
    ax.axvspan(-0.05, 0.05, color="grey", alpha=0.25, label="rounding to 0.1")
    ax.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="printed − recounted [million parameters]", title="Which printed numbers hold?")
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_count(count: int, printed: list[tuple[str, float]], ax=None):
    """Draw where a number of parameters lands among printed ones.

    Args:
        count: the number of parameters.
        printed: (name, millions) of rows to compare with.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(8, 3.6)
    colours = seaborn.color_palette("colorblind")
    printed = sorted(printed, key=lambda row: row[1])
    ax.scatter([value for _, value in printed], range(len(printed)), color=colours[0], label="printed", zorder=3)
    ax.axvline(count / 1e6, color=colours[1], linewidth=2, label=f"this network: {count / 1e6:.2f} M")
    ax.set_yticks(range(len(printed)), [name for name, _ in printed], fontsize=8)
    ax.set(xlabel="parameters [millions]", title="Where it lands")
    ax.legend(fontsize=9, loc="lower right")
    ax.grid(alpha=0.3)
    return ax
