"""Figures of lambdas as rows of small maps: content lambdas, position embeddings, the attention that they imply."""

from collections.abc import Sequence

from torch import Tensor

from lambdalab.capture import Implied
from lambdalab.figures.base import SIGNED, UNSIGNED, new_axes
from lambdalab.listening import mean_distance


def plot_content_lambdas(lambdas: Tensor, titles: Sequence[str], ax=None):
    """Draw λc of some pictures, or the means of some classes, as matrices of one scale.

    Args:
        lambdas: (pictures, k, v).
        titles: one for each.
        ax: where to draw; a new figure if not given.
    """
    ax = plot_tiles(list(lambdas), titles, ax, columns=10, label="λc")
    return _caption(ax, "Content lambdas", "rows of each: key depth k; columns: value depth v")


def plot_kernels(embedding: Tensor, copy: int = 0, ax=None):
    """Draw a layer's position embeddings as k kernels: what each key depth weighs at which offset.

    Args:
        embedding: E, (k, u, r_y, r_x), offset 0 in the middle.
        copy: which u.
        ax: where to draw; a new figure if not given.
    """
    k, u, rows, columns = embedding.shape
    middle = (rows // 2, columns // 2)
    titles = [f"k = {index}" for index in range(k)]
    ax = plot_tiles(list(embedding[:, copy]), titles, ax, label="E", mark=middle)
    which = f", copy {copy} of {u}" if u > 1 else ""
    return _caption(
        ax, f"Position embeddings{which}", f"offsets m − n, {rows}×{columns}; box: offset 0, the query itself"
    )


def plot_implied(implied: Implied, pixel: tuple[int, int], picture: Tensor | None = None, ax=None, shared: bool = True):
    """Draw one query's signed weights on its context: content | position | total, after the picture if there is one.

    Args:
        implied: what ``capture.implied_attention`` returns; the copies u are summed over.
        pixel: the query, (row, column); a box around it.
        picture: bytes (1 or 3, H, W) of any size.
        ax: where to draw; a new figure if not given.
        shared: one scale for all three, so that content + position = total can be seen; else one for each.
    """
    maps = implied.summed if implied.total.dim() == 3 else implied
    words = {"label": "weight a", "mark": pixel, "picture": picture, "shared": shared}
    ax = plot_tiles(list(maps), ["content", "position", "total"], ax, columns=4, **words)
    height, width = maps.total.shape
    row, column = pixel
    return _caption(
        ax, "Implied attention of one query", f"map of {height}×{width}; box: the query, row {row}, column {column}"
    )


def plot_each(maps: Tensor, names: Sequence[str], pixel: tuple[int, int], picture: Tensor | None = None, ax=None):
    """Draw one query's weights by head, or by copy u, to one scale: what each of them listens to.

    Args:
        maps: (heads or copies, H, W).
        names: one for each, such as "head 0".
        pixel: the query, (row, column); a box around it.
        picture: bytes (1 or 3, H, W), drawn first.
        ax: where to draw; a new figure if not given.
    """
    ax = plot_tiles(list(maps), names, ax, columns=5, label="weight a", mark=pixel, picture=picture)
    return _caption(ax, "What each listens to", f"box: the query, row {pixel[0]}, column {pixel[1]}")


def plot_fields(fields: dict[str, Tensor], ax=None, columns: int = 4):
    """Draw effective receptive fields, layer by layer, each in shares of its largest mean weight.

    Args:
        fields: by layer, what ``listening.receptive_field`` returns, (2H−1, 2W−1).
        ax: where to draw; a new figure if not given.
        columns: how many in a row.
    """
    titles = [f"{name}\nmean distance {mean_distance(field):.1f} px" for name, field in fields.items()]
    maps = [field / field.max() for field in fields.values()]
    words = {"label": "share of the largest", "signed": False, "inches": 1.8}
    ax = plot_tiles(maps, titles, ax, columns=columns, **words)
    return _caption(
        ax, "Effective receptive fields", "offset m − n; the query is in the middle; px of the layer's own map"
    )


def plot_tiles(
    maps: Sequence[Tensor],
    titles: Sequence[str],
    ax=None,
    *,
    label: str = "",
    columns: int = 8,
    signed: bool = True,
    shared: bool = True,
    mark: tuple[int, int] | None = None,
    picture: Tensor | None = None,
    inches: float = 1.5,
):
    """Draw maps of one shape of frame side by side in one Axes.

    Args:
        maps: each (H, W).
        titles: one for each.
        ax: where to draw; a new figure if not given.
        label: what the colours mean, with the unit.
        columns: how many in a row.
        signed: whether to centre the colours at zero.
        shared: one scale for all, with its bar; else one for each, in its title, from the least to the largest where
            no number is negative.
        mark: a pixel (row, column) to draw a box around, in all maps.
        picture: bytes (1 or 3, H, W), drawn before the maps.
        inches: the longer side of a map in a new figure.
    """
    arrays = [each.detach().cpu().float().numpy() for each in maps]
    cells, titles = _scales(arrays, list(titles), signed, shared)
    if picture is not None:
        image = picture.expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()
        cells, titles = [(image, {}), *cells], ["picture", *titles]
    rows, wide = arrays[0].shape
    height, inches = rows / wide, inches / max(1, rows / wide)
    columns, lines = min(columns, len(cells)), 1 + max(title.count("\n") for title in titles)
    step_x, step_y = 1 + 0.12 / inches, height + (0.12 + 0.17 * lines) / inches
    count = -(-len(cells) // columns)
    ax = ax or new_axes(columns * step_x * inches + (1.1 if shared else 0.1), count * step_y * inches + 0.6)
    for index, ((array, look), title) in enumerate(zip(cells, titles, strict=True)):
        left, top = index % columns * step_x, -(index // columns) * step_y
        drawn = ax.imshow(array, extent=(left, left + 1, top - height, top), interpolation="nearest", **look)
        ax.text(left + 0.5, top + 0.04 / inches, title, ha="center", va="bottom", fontsize=9)
        _frame(ax, left, top, 1, height, color="0.6", linewidth=0.6)
        if mark is not None:
            box = left + mark[1] / wide, top - mark[0] / wide, 1 / wide, 1 / wide
            _frame(ax, *box, color="white", linewidth=2.6)
            _frame(ax, *box, color="black", linewidth=1.2)
    edge = 0.02 / inches
    ax.set(
        xlim=(-edge, columns * step_x - 0.1 / inches), ylim=(step_y - height - count * step_y - edge, step_y - height)
    )
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if shared:
        ax.get_figure().colorbar(drawn, ax=ax, label=label, shrink=0.85, aspect=15 * count**0.5)
    return ax


def _scales(arrays: list, titles: list[str], signed: bool, shared: bool) -> tuple[list[tuple], list[str]]:
    """Return each map with how its numbers become colours, and its title."""
    if shared:
        limit = max(float(abs(array).max()) for array in arrays) or 1.0
        look = {"cmap": SIGNED if signed else UNSIGNED, "vmin": -limit if signed else 0, "vmax": limit}
        return [(array, look) for array in arrays], titles
    cells, with_scales = [], []
    for array, title in zip(arrays, titles, strict=True):
        least, largest, limit = float(array.min()), float(array.max()), float(abs(array).max()) or 1.0
        both = signed and least < 0
        low, high = (-limit, limit) if both else (least, largest)
        cells.append((array, {"cmap": SIGNED if both else UNSIGNED, "vmin": low, "vmax": high}))
        with_scales.append(f"{title}\n{f'±{limit:.2g}' if both else f'{least:.2g} … {largest:.2g}'}")
    return cells, with_scales


def _frame(ax, left: float, top: float, width: float, height: float, **style) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, top - height), width, height, fill=False, **style))


def _caption(ax, title: str, below: str):
    ax.set_title(title, fontsize=11)
    ax.set_xlabel(below, fontsize=9)
    return ax
