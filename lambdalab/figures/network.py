"""Figures of a network: maps to scale, parameters by place, the offsets that a map can use, hybrids, its first step."""

from torch import Tensor

from lambdalab.figures.base import UNSIGNED, new_axes
from lambdalab.models import BLOCKS, ModelConfig
from lambdalab.shapes import PARTS, stage_maps

# Blue and orange, and what can be told from them and from one another by colour-blind eyes; some hatched as well.
PART_STYLES = {
    "stem": (0, ""),
    "1×1 convolutions": (1, ""),
    "spatial operator": (2, "//"),
    "position embeddings": (3, ""),
    "squeeze-excitation": (4, "xx"),
    "norms": (7, ""),
    "head": (9, "\\\\"),
}


def plot_maps(config: ModelConfig, size: int, ax=None):
    """Draw the maps after the stem and after each stage to one scale, with the scope around the lambda stages'.

    Args:
        config: the network's shape.
        size: height and width of the pictures.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(9, 2.8)
    palette = seaborn.color_palette("colorblind")
    colours = {" ": "0.8", "C": palette[0], "L": palette[1]}
    kinds, maps = " " + config.stages, stage_maps(config, size)
    windows = [config.scope if kind == "L" and config.scope and config.position else 0 for kind in kinds]
    largest = max(*maps, *windows)
    wide = config.width * BLOCKS[config.block].expansion
    left = 0.0
    for index, (kind, side, window) in enumerate(zip(kinds, maps, windows, strict=True)):
        column = max(side, window, 0.55 * largest)
        middle = left + column / 2
        _square(ax, middle, side, facecolor=colours[kind], edgecolor="black", linewidth=0.8)
        lines = [line - side / 2 for line in range(1, side)] if side <= 32 else []  # one square a pixel
        style = {"color": "white", "linewidth": min(0.5, 12 / largest)}
        ax.hlines(lines, middle - side / 2, middle + side / 2, **style)
        ax.vlines([middle + line for line in lines], -side / 2, side / 2, **style)
        if window:
            _square(ax, middle, window, fill=False, edgecolor="black", linestyle="--", linewidth=1.2)
        place = f"stage {index} ({kind})" if index else "stem"
        channels = wide * 2 ** (index - 1) if index else config.width
        text = f"{place}\n{side}×{side} px\n{channels} ch."
        ax.text(middle, -0.54 * largest, text, ha="center", va="top", fontsize=9)
        left += column + 0.12 * largest
    ax.set(xlim=(-0.06 * largest, left - 0.06 * largest), ylim=(-0.92 * largest, 0.54 * largest), aspect="equal")
    ax.set_title(f"{config.name}: {config.stem} stem, {size}×{size} pictures", fontsize=10)
    scope = f"; dashed: the {config.scope}×{config.scope} scope" if any(windows) else ""
    ax.set_xlabel(f"maps in pixels, to one scale{scope}", fontsize=9)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def plot_parts(places: dict[str, dict[str, int]], ax=None, title: str = ""):
    """Draw where a network's parameters sit, a bar for each stage.

    Args:
        places: what ``shapes.parameters_by_part`` returns.
        ax: where to draw; a new figure if not given.
        title: the figure's title.
    """
    import seaborn

    ax = ax or new_axes(7, 3)
    palette = seaborn.color_palette("colorblind")
    left = dict.fromkeys(places, 0.0)
    for part in PARTS:
        colour, hatch = PART_STYLES[part]
        counts = [places[place].get(part, 0) / 1e6 for place in places]
        if any(counts):
            style = {"color": palette[colour], "hatch": hatch, "edgecolor": "white", "linewidth": 0}
            ax.barh(list(places), counts, left=list(left.values()), label=part, **style)
        left = {place: left[place] + count for place, count in zip(places, counts, strict=True)}
    for place, total in left.items():
        ax.text(total, place, f" {total:.2f}", va="center", fontsize=9)
    if not ax.yaxis_inverted():  # as it is already where the Axes share their rows
        ax.invert_yaxis()
    ax.set_xlim(0, max(ax.get_xlim()[1], 1.15 * max(left.values())))
    ax.set(title=title, xlabel="parameters [millions]")
    ax.legend(fontsize=8)
    return ax


def plot_offset_use(use: Tensor, ax=None, title: str = ""):
    """Draw for each offset of a scope the share of a map's pixels that have a neighbour there; grey: none has.

    Args:
        use: (r, r) shares between 0 and 1, offset (0, 0) in the middle.
        ax: where to draw; a new figure if not given.
        title: the figure's title.
    """
    import numpy

    ax = ax or new_axes(4.5, 3.6)
    half = use.shape[0] // 2
    edge = half + 0.5
    shares = numpy.ma.masked_equal(use.cpu().numpy(), 0)
    ax.set_facecolor("0.85")
    drawn = ax.imshow(shares, cmap=UNSIGNED, vmin=0, vmax=1, extent=(-edge, edge, edge, -edge))
    ax.set(title=title, xlabel="offset to the right [px]", ylabel="offset down [px]")
    return drawn.axes


def plot_hybrids(table, ax=None):
    """Draw the hybrids of convolutional and lambda stages: parameters against top-1, the paper's and recounted.

    Args:
        table: pandas table with columns stages, printed (millions), counted (an integer), top1 (%).
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(8, 4.6)
    palette = seaborn.color_palette("colorblind")
    counted = table["counted"] / 1e6
    ax.hlines(table["top1"], table["printed"], counted, color="0.5", linewidth=1)
    ax.scatter(
        table["printed"], table["top1"], s=110, facecolors="none", edgecolors=palette[3], label="printed in the paper"
    )
    ax.scatter(counted, table["top1"], s=18, color=palette[0], label="counted here", zorder=3)
    points = list(zip(counted, table["top1"], strict=True))
    for stages, (x, y) in zip(table["stages"], points, strict=True):
        # Left of the point where another one follows closely on the right.
        crowded = any(0 < other_x - x < 2 and abs(other_y - y) < 0.15 for other_x, other_y in points)
        side = {"xytext": (-9, 0), "ha": "right"} if crowded else {"xytext": (9, 0), "ha": "left"}
        ax.annotate(stages, (x, y), textcoords="offset points", va="center", fontsize=9, **side)
    ax.margins(0.12)
    ax.set(title="Which stages get lambda layers?", xlabel="parameters [millions]", ylabel="ImageNet top-1 [%]")
    ax.legend()
    ax.grid(alpha=0.3)
    note = "Top-1 and printed millions: Bello 2021, arXiv 2102.08602 (ResNet-50 hybrids)"
    ax.text(1, -0.2, note, transform=ax.transAxes, ha="right", fontsize=8, color="0.3")
    return ax


def plot_turns(turns: dict[str, dict[str, float]], ax=None, title: str = ""):
    """Draw by what angle a step turns each layer's weights, a row a layer and a mark a start.

    Args:
        turns: for each start, by its name, degrees by layer; the same layers for all.
        ax: where to draw; a new figure if not given.
        title: the figure's title.
    """
    import seaborn

    layers = list(next(iter(turns.values())))
    ax = ax or new_axes(8, 0.8 + 0.2 * len(layers))
    palette = seaborn.color_palette("colorblind")
    for (start, degrees), colour, mark in zip(turns.items(), palette, "osD^", strict=False):
        ax.plot([degrees[layer] for layer in layers], layers, mark, color=colour, label=start)
    ax.invert_yaxis()
    ax.set(xscale="log", title=title, xlabel="turned by one step [degrees]", ylabel="stage.block.layer")
    ax.tick_params("y", labelsize=8)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def _square(ax, middle: float, side: float, **style) -> None:
    """Draw a square of this side, its centre at height 0."""
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((middle - side / 2, -side / 2), side, side, **style))
