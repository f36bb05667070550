"""Figures of what layers cost: bars of a bill, growth with the picture, shares compared."""

from lambdalab.figures.base import new_axes

# Colour and marker go together, so that either alone tells the layers apart.
MARKERS = "osD^v"


def plot_costs(costs: dict, ax=None):
    """Draw what layers cost as bars on logarithmic scales: parameters, multiply-adds, memory; returns the last Axes.

    Args:
        costs: ``lambdalab.cost.Cost`` by the layer's name.
        ax: three Axes in a row; a new figure if not given.
    """
    axes = new_axes(11, 0.9 + 0.42 * len(costs), columns=3, sharey=True) if ax is None else ax
    names, colours = list(costs), _colours(len(costs))
    quantities = {
        "parameters": [cost.parameters for cost in costs.values()],
        "multiply-adds, forward": [cost.macs for cost in costs.values()],
        "kept for backward [MB, 4 bytes a number]": [cost.activations * 4 / 1e6 for cost in costs.values()],
    }
    for each, (label, values) in zip(axes, quantities.items(), strict=True):
        write = _plain if "MB" in label else _short
        bars = each.barh(names, values, color=colours)
        each.bar_label(bars, [write(value) for value in values], padding=3, fontsize=9)
        low, high = min(values), max(values)
        each.set(xscale="log", xlim=(low / 10, high * (high / low * 10) ** 0.35), xlabel=label)
        each.grid(axis="x", alpha=0.3)
        each.set_axisbelow(True)
    axes[0].invert_yaxis()
    return axes[-1]


def plot_power_laws(pixels: list[int], series: dict, ax=None, *, guides: dict | None = None, ylabel="", title=""):
    """Draw how quantities grow with the number of pixels, on logarithmic scales where a power law is a line.

    Args:
        pixels: of the pictures.
        series: by the layer's name the values, or (values, lows, highs) with a spread.
        ax: where to draw; a new figure if not given.
        guides: by the same names what a formula says; drawn dashed, shifted to meet the last value.
        ylabel: what the values are, with the unit.
        title: the figure's title.
    """
    ax = ax or new_axes(6, 4)
    for (name, data), colour, marker in zip(series.items(), _colours(len(series)), MARKERS, strict=False):
        values, *spread = data if isinstance(data, tuple) else (data,)
        ax.plot(pixels, values, marker=marker, color=colour, label=name)
        if spread:
            ax.fill_between(pixels, *spread, color=colour, alpha=0.25, linewidth=0)
        if guides:
            scale = values[-1] / guides[name][-1]
            ax.plot(pixels, [scale * value for value in guides[name]], "--", color=colour, linewidth=1)
    if guides:
        ax.plot([], [], "--", color="grey", linewidth=1, label="the formula's shape")
    ax.set(xscale="log", yscale="log", xlabel="pixels n", ylabel=ylabel, title=title)
    ax.set_xticks(pixels, [f"{round(n**0.5)}²" for n in pixels])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9)
    return ax


def plot_timings(timings: dict, part: str, ax=None, *, guides: dict | None = None):
    """Draw measured times against the size of the picture: medians, with the quartiles as a band.

    Args:
        timings: {side: {layer: ``lambdalab.timing.Timing``}}.
        part: "forward", "backward" or "both".
        ax: where to draw; a new figure if not given.
        guides: as for ``plot_power_laws``.
    """
    series = {}
    for name in next(iter(timings.values())):
        taken = [layers[name] for layers in timings.values()]
        lows, highs = zip(*(timing.quartiles(part) for timing in taken), strict=True)
        series[name] = ([timing.median(part) for timing in taken], lows, highs)
    title = "forward + backward pass" if part == "both" else f"{part} pass"
    pixels = [side**2 for side in timings]
    return plot_power_laws(pixels, series, ax, guides=guides, ylabel="time [s]", title=f"{title}, median and quartiles")


def plot_rates(columns: list[int], rates: dict[str, list[float]], roof: float, ax=None, *, title=""):
    """Draw at which rate products run against their number of columns, below the rate of a large product.

    Args:
        columns: of the products.
        rates: by the name of a way, billion multiply-adds a second.
        roof: the large product's.
        ax: where to draw; a new figure if not given.
        title: the figure's title.
    """
    ax = ax or new_axes(7, 4)
    for (name, values), colour, marker in zip(rates.items(), _colours(len(rates)), MARKERS, strict=False):
        ax.plot(columns, values, marker=marker, color=colour, label=name)
    ax.axhline(roof, color="black", linewidth=1, label="a large product")
    ax.set(xlabel="columns", ylabel="billion multiply-adds a second", ylim=(0, None), title=title)
    ax.set_xticks(range(0, max(columns) + 1, 8))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9, loc="lower right")
    return ax


def plot_claims(rows: dict, ax=None, *, labels=("the paper's table", "rebuilt"), ylabel="", title=""):
    """Draw pairs of numbers side by side on a logarithmic scale, such as a claim and its recount.

    Args:
        rows: (one, other) by name.
        ax: where to draw; a new figure if not given.
        labels: what the two are.
        ylabel: what the numbers are, with the unit.
        title: the figure's title.
    """
    ax = ax or new_axes(8, 3.6)
    for index, (label, colour) in enumerate(zip(labels, _colours(2), strict=True)):
        values = [pair[index] for pair in rows.values()]
        bars = ax.bar([x + 0.4 * (index - 0.5) for x in range(len(rows))], values, 0.38, color=colour, label=label)
        ax.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=9, padding=2)
    ax.set_xticks(range(len(rows)), list(rows))
    low, high = min(map(min, rows.values())), max(map(max, rows.values()))
    ax.set(yscale="log", ylim=(low / 3, high * 3), ylabel=ylabel, title=title)
    ax.legend()
    return ax


def plot_shares(shares: dict, ax=None, *, ylabel="", title=""):
    """Draw how many times the first layer's amount the others have; bars start at the line "as much".

    Args:
        shares: {quantity: {layer: value}}, the same layers in each.
        ax: where to draw; a new figure if not given.
        ylabel: what the bars are.
        title: the figure's title.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax = ax or new_axes(8, 3.8)
    first, *others = next(iter(shares.values()))
    width = 0.8 / len(others)
    ratios = []
    for index, (layer, colour) in enumerate(zip(others, _colours(len(others) + 1)[1:], strict=True)):
        values = [amounts[layer] / amounts[first] for amounts in shares.values()]
        places = [x + width * (index - (len(others) - 1) / 2) for x in range(len(shares))]
        bars = ax.bar(places, [value - 1 for value in values], width * 0.95, bottom=1, color=colour, label=layer)
        ax.bar_label(bars, [_plain(value) for value in values], fontsize=9, padding=2)
        ratios += values
    ax.axhline(1, color=_colours(1)[0], linewidth=2, label=f"as much as {first}")
    ax.set_xticks(range(len(shares)), list(shares))
    low, high = min(1, *ratios), max(1, *ratios)
    room = (high / low) ** 0.15
    ax.set(yscale="log", ylim=(low / room, high * room), ylabel=ylabel, title=title)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend()
    return ax


def _colours(count: int):
    import seaborn

    return seaborn.color_palette("colorblind", max(count, 1))


def _plain(value: float) -> str:
    """Three digits, or all before the point: 0.587, 1,053."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _short(value: float) -> str:
    """Three digits and a unit: 1.18 M."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:.3g}"
