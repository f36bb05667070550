"""Figures of the orders of the position term's sums: what each multiplies and forms, where each is the quickest."""

from collections.abc import Iterable

import numpy as np

from lambdalab import cuts
from lambdalab.choices import NAMES, ORDERS, Choice
from lambdalab.cuts import Strip, Tile, Tiling
from lambdalab.figures.base import new_axes
from lambdalab.figures.cost import MARKERS
from lambdalab.planner import Plan
from lambdalab.work import Shape

MEBIBYTE = 2**20 / 4  # numbers of four bytes


def plot_orders(shape: Shape, ways: Iterable[Choice], axes=None):
    """Draw what each order multiplies (above) and forms (below); returns the last Axes.

    Above, a row a query: pairs within the scope dark, pairs that are multiplied by zeros light. For "convolve" the
    columns are offsets, light where they lead out of the picture. Below, areas to one scale for all orders.

    Args:
        shape: a small map, since every pair is a pixel.
        ways: one for each order, of ``choices.alternatives(shape)``.
        axes: two rows of Axes, a column an order; a new figure if not given.
    """
    ways = sorted(ways, key=lambda way: ORDERS.index(way.order))
    if axes is None:
        axes = _two_rows(len(ways))
    arrays = [formed(shape, way) for way in ways]
    room = sum(numbers**0.5 for numbers in max(arrays, key=lambda each: sum(each.values())).values())
    for above, below, way, each in zip(*axes, ways, arrays, strict=True):
        colour = colour_of(way.order)
        pairs = multiplied(shape, way)
        above.imshow(pairs, cmap=_shades(colour), vmin=0, vmax=2, aspect="auto", interpolation="nearest")
        useful = (pairs == 2).sum() / (pairs > 0).sum()
        above.set_title(f"{way.order}\n{(pairs > 0).sum():,} pairs, {useful:.0%} of use", fontsize=10)
        above.set(xlabel="offset in the window" if way.order == "convolve" else "context position m")
        above.set(xticks=[], yticks=[])
        _squares(below, each, colour, 1.15 * room)
    axes[0][0].set_ylabel("query n")
    return axes[1][-1]


def multiplied(shape: Shape, way: Choice) -> np.ndarray:
    """Which products an order does for one picture: 2 for a pair within the scope, 1 for a zero, 0 for none.

    Returns:
        (n, m), or (n, offsets of the window) for "convolve".
    """
    size = shape.height, shape.width
    rows, columns = (axis.ravel() for axis in np.indices(size))
    reach = [r // 2 for r in shape.window]
    if way.order == "convolve":
        down, right = (axis.ravel() - r for axis, r in zip(np.indices(shape.window), reach, strict=True))
        row, column = rows[:, None] + down, columns[:, None] + right
        return 1 + ((row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1]))
    away = [abs(axis[:, None] - axis) for axis in (rows, columns)]
    inside = (away[0] <= reach[0]) & (away[1] <= reach[1])
    touched = np.ones_like(inside) if way.tiling is None else _in_tiles(shape, way.tiling)
    return np.where(touched, 1 + inside, 0)


def _in_tiles(shape: Shape, tiling: Tiling) -> np.ndarray:
    size = shape.height, shape.width
    touched = np.zeros((*size, *size), dtype=bool)
    for strip, tile in _tiles(shape, tiling):
        blocks = range(tile.block.start, tile.block.stop) if isinstance(tile.block, slice) else [tile.block]
        for row in (strip.top + block * strip.rows for block in blocks):
            context = slice(max(0, row + tile.above), row + tile.below)
            touched[row : row + strip.rows, strip.left : strip.right, context, strip.first : strip.last] = True
    return touched.reshape(size[0] * size[1], -1)


def _tiles(shape: Shape, tiling: Tiling):
    """All tiles, each with its strip."""
    values = (shape.batch, shape.height, shape.width, shape.dim_u, shape.dim_v)
    for strip in cuts.strips(values, (shape.dim_k, shape.dim_u, *shape.window), tiling):
        for tile in cuts.tiles(values, strip, tiling):
            yield strip, tile


def formed(shape: Shape, way: Choice) -> dict[str, int]:
    """The intermediate results that an order forms in a forward pass: how many numbers, by name."""
    n = shape.height * shape.width
    lambdas = shape.batch * n * shape.dim_k * shape.dim_v
    if way.order == "lambda":
        return {"E, all pairs": n * n * shape.dim_u * shape.dim_k, "all λp": lambdas}
    if way.order == "convolve":
        return {"all λp,\nas convolved": lambdas, "all λp,\nas applied": lambdas}
    return max((_in_a_tile(shape, *each) for each in _tiles(shape, way.tiling)), key=lambda each: sum(each.values()))


def _in_a_tile(shape: Shape, strip: Strip, tile: Tile) -> dict[str, int]:
    queries = strip.rows * (strip.right - strip.left)
    columns = (strip.last - strip.first) * shape.dim_u
    many = tile.block if isinstance(tile.block, slice) else tile.picture
    together = len(range(*many.indices(shape.batch if many is tile.picture else many.stop)))
    return {
        "E, a tile's pairs": queries * (strip.below - strip.above) * columns * shape.dim_k,
        "a tile of\nthe map": queries * shape.heads * together * (tile.below - tile.above) * columns,
    }


def _two_rows(columns: int):
    from matplotlib import pyplot

    return pyplot.subplots(2, columns, figsize=(2.7 * columns, 5.6), height_ratios=[1.15, 1], layout="constrained")[1]


def _squares(ax, arrays: dict[str, int], colour, room: float) -> None:
    """Draw each array as a square of its area, side by side."""
    from matplotlib.patches import Rectangle

    left, step = 0.0, room / 2
    for name, numbers in arrays.items():
        side = numbers**0.5
        ax.add_patch(Rectangle((left, 0), side, side, facecolor=colour, edgecolor="black", alpha=0.85))
        ax.text(left, -0.04 * room, f"{name}\n{numbers / MEBIBYTE:.2g} MiB", ha="left", va="top", fontsize=9)
        left += max(side + 0.04 * room, step)
    ax.set(xlim=(-0.02 * room, 1.1 * room), ylim=(-0.42 * room, 0.65 * room), aspect="equal")
    ax.set_axis_off()


def plot_crossovers(choices: dict[str, dict[tuple[int, int], str]], axes=None):
    """Draw which order is chosen for each map and scope, a colour and a letter each; returns the last Axes.

    Args:
        choices: {title of a panel: {(side of the map, scope): order}}, the same pairs in each.
        axes: a row of Axes; a new figure if not given.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    axes = new_axes(10, 3.9, columns=len(choices), sharey=True) if axes is None else axes
    axes = np.atleast_1d(axes)
    for ax, (title, orders) in zip(axes, choices.items(), strict=True):
        sides, scopes = (sorted({each[axis] for each in orders}) for axis in (0, 1))
        grid = [[ORDERS.index(orders[side, scope]) for side in sides] for scope in scopes]
        colours = ListedColormap([colour_of(order) for order in ORDERS])
        ax.imshow(grid, cmap=colours, vmin=-0.5, vmax=len(ORDERS) - 0.5, origin="lower", aspect="auto", alpha=0.75)
        for row, column in np.ndindex(len(scopes), len(sides)):
            ax.text(column, row, ORDERS[grid[row][column]][0].upper(), ha="center", va="center", fontsize=9)
        ax.set_xticks(range(len(sides)), [f"{side}²" for side in sides])
        ax.set_yticks(range(len(scopes)), scopes)
        ax.set(title=title, xlabel="pixels of the map")
    axes[0].set_ylabel("scope r")
    legend = [Patch(color=colour_of(order), alpha=0.75, label=f"{order[0].upper()}: {order}") for order in ORDERS]
    axes[-1].legend(handles=legend, loc="upper left", bbox_to_anchor=(1.01, 1), title="quickest")
    return axes[-1]


def plot_predictions(plans: list[Plan], ax=None):
    """Draw measured against predicted time of every order that was measured; the plan's choice has a black ring."""
    ax = ax or new_axes(5.6, 4.4)
    seconds = []
    found = {way.name for plan in plans for way in plan.alternatives}
    for name, marker in ((name, MARKERS[NAMES.index(name)]) for name in NAMES if name in found):
        ways = [way for plan in plans for way in plan.alternatives if way.name == name and way.measured]
        points = [1e3 * way.seconds for way in ways], [1e3 * way.measured for way in ways]
        ax.plot(*points, marker, color=colour_of(name), label=name)
        seconds += [1e3 * time for way in ways for time in (way.seconds, way.measured)]
    chosen = [way for plan in plans for way in plan.alternatives if way.name == plan.choice.name and way.measured]
    points = [[1e3 * getattr(way, name) for way in chosen] for name in ("seconds", "measured")]
    ax.plot(*points, "o", markersize=13, markerfacecolor="none", markeredgecolor="black", label="chosen")
    limits = min(seconds), max(seconds)
    ax.plot(limits, limits, "--", color="grey", linewidth=1, label="as predicted")
    ax.set(xscale="log", yscale="log", xlabel="predicted [ms]", ylabel="measured [ms]", title="The position term")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9)
    return ax


def plot_roofline(points: dict[str, tuple[float, float, float]], multiplied_at: float, copied_at: float, ax=None):
    """Draw rates against multiply-adds for each byte, under the machine's roof: memory's slope, then arithmetic's flat.

    Args:
        points: (multiply-adds, bytes, seconds) by name; orders have their own colours.
        multiplied_at: multiply-adds a second of a large product of matrices.
        copied_at: bytes a second of a large copy.
        ax: where to draw; a new figure if not given.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax = ax or new_axes(7, 4.4)
    intensity = {name: macs / moved for name, (macs, moved, _) in points.items()}
    low, high = min(intensity.values()) / 3, max(*intensity.values(), multiplied_at / copied_at) * 3
    roof = np.geomspace(low, high, 200)
    ax.plot(roof, np.minimum(multiplied_at, copied_at * roof) / 1e9, color="black", label="the machine's roof")
    for index, (name, (macs, _, seconds)) in enumerate(points.items()):
        colour = colour_of(name) if name in NAMES else "grey"
        x, y = intensity[name], macs / seconds / 1e9
        ax.plot(
            x, y, MARKERS[index % len(MARKERS)], color=colour, markersize=9, label=f"{name}: {1e3 * seconds:.3g} ms"
        )
    ax.set(xscale="log", yscale="log", xlabel="multiply-adds for a byte read or written")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    ax.set(ylabel="billion multiply-adds a second", title="Roofline, forward pass, one thread")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9, loc="lower right")
    return ax


def plot_steps(times: dict[str, tuple[float, float]], ax=None):
    """Draw milliseconds a picture of networks, a bar each: forward, then backward.

    Args:
        times: (forward, backward) in milliseconds, by name.
        ax: where to draw; a new figure if not given.
    """
    ax = ax or new_axes(7.5, 0.9 + 0.45 * len(times))
    names, left = list(times), np.zeros(len(times))
    for index, part in enumerate(("forward", "backward")):
        lengths = np.array([times[name][index] for name in names])
        ax.barh(names, lengths, left=left, color=_palette()[index], label=part)
        left += lengths
    for row, total in enumerate(left):
        ax.text(total, row, f" {total:.3g}", va="center", fontsize=9)
    ax.set(xlabel="milliseconds a picture", xlim=(0, 1.12 * left.max()))
    ax.invert_yaxis()
    ax.legend(loc="lower right")
    return ax


def colour_of(order: str):
    """An order's colour, the same in all figures."""
    return _palette()[NAMES.index(order)]


def _palette():
    import seaborn

    return seaborn.color_palette("colorblind")


def _shades(colour):
    """Nothing, light, dark."""
    from matplotlib.colors import ListedColormap

    light = tuple(0.3 * channel + 0.7 for channel in colour)
    return ListedColormap(["white", light, colour])
