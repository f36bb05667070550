"""Figures of how a query reads its context, by attention and by lambdas, and of what that costs."""

from torch import Tensor

from lambdalab.figures.base import SIGNED, new_axes, plot_matrix
from lambdalab.formulas import Shape, count_attention, count_content_lambda, count_lambda, count_lambda_convolution

UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def plot_two_orders(queries: Tensor, keys: Tensor, values: Tensor, ax=None):
    """Draw (Q Kᵀ) V and Q (Kᵀ V) with all their numbers, one above the other.

    Args:
        queries: (n, k), small whole numbers.
        keys: (m, k).
        values: (m, v).
        ax: where to draw; a new figure if not given.
    """
    (n, k), (m, v) = queries.shape, values.shape
    ax = ax or new_axes(10.5, 5.4)
    attention, summary = queries @ keys.T, keys.T @ values
    y = ("Y", attention @ values)
    first = [("Q", queries), "·", ("Kᵀ", keys.T), "=", (f"a map: n×m = {n}×{m}", attention), "·", ("V", values)]
    second = [("Kᵀ", keys.T), "·", ("V", values), "=", (f"λ: k×v = {k}×{v}", summary), "", ("Q", queries), "· λ"]
    height = max(n, m, k) + 2.2
    for centre, entries in ((height, [*first, "=", y]), (0, [*second, "=", y])):
        left = 0.0
        for entry in entries:
            if isinstance(entry, str):
                ax.text(left + 0.6, centre, entry, ha="center", va="center", fontsize=16)
                left += 1.2
            else:
                left = _write_matrix(ax, *entry, left=left, centre=centre)
    ax.set(xlim=(-0.5, 2 * k + 2 * m + 2 * v + 6), ylim=(-height / 2, 1.5 * height), aspect="equal")
    ax.set_axis_off()
    return ax


def _write_matrix(ax, title: str, matrix: Tensor, left: float, centre: float) -> float:
    """Draw a matrix with its numbers, its left edge at x = left; return its right edge."""
    rows, columns = matrix.shape
    made, top = ":" in title, centre + rows / 2
    limit = 1.6 * float(matrix.abs().max())
    ax.imshow(
        matrix.detach().cpu().numpy(),
        extent=(left, left + columns, top - rows, top),
        cmap=SIGNED,
        vmin=-limit,
        vmax=limit,
        alpha=0.9,
    )
    for row in range(rows):
        for column in range(columns):
            where = (left + column + 0.5, top - row - 0.5)
            ax.text(*where, f"{float(matrix[row, column]):g}", ha="center", va="center", fontsize=11)
    weight = "bold" if made else "normal"
    ax.text(left + columns / 2, top + 0.25, title, ha="center", va="bottom", fontsize=11, weight=weight)
    return left + columns


def plot_listening(picture: Tensor, pixel: int, attention: Tensor, implied: Tensor):
    """Draw which pixels one query listens to, by attention and by a lambda layer; returns the last Axes.

    Args:
        picture: bytes (1 or 3, H, W).
        pixel: the query n, counted row by row.
        attention: its row of attention's map, (m,).
        implied: its row of the lambda layer's implied map, (m,).
    """
    height, width = picture.shape[1:]
    axes = new_axes(11, 3.4, columns=3, width_ratios=[1, 1.2, 1.2])
    image = picture.permute(1, 2, 0).cpu().numpy()
    axes[0].imshow(image, cmap="gray" if image.shape[2] == 1 else None)
    axes[0].set(title="the picture; ✕: the query", xlabel="column", ylabel="row")
    maps = attention.reshape(height, width), implied.reshape(height, width)
    plot_matrix(maps[0], axes[1], title="attention's weights", signed=False, label="weight", xlabel="column")
    plot_matrix(maps[1], axes[2], title="a lambda layer's implied weights", label="weight", xlabel="column")
    row, column = divmod(pixel, width)
    for ax in axes:
        ax.plot(column, row, marker="x", color="white", markersize=9, markeredgewidth=4)
        ax.plot(column, row, marker="x", color="black", markersize=8, markeredgewidth=1.6)
    return axes[2]


def plot_growth(shape: Shape, scope: int, sides: list[int]):
    """Draw stored bytes and multiply-adds over the picture's side, n = m = side², on log-log axes.

    Args:
        shape: k, v, h, b and u; n and m are replaced.
        scope: width of the lambda convolution's window.
        sides: heights (= widths) of the pictures.

    Returns:
        The last Axes.
    """
    import seaborn

    axes = new_axes(11, 4.4, columns=2)
    colours = seaborn.color_palette("colorblind")
    kinds = (
        ("attention", count_attention, "-", "o"),
        ("lambda, global", count_lambda, "-", "s"),
        (f"lambda convolution, scope {scope}", count_lambda_convolution, "--", "^"),
        ("content lambda alone", count_content_lambda, ":", "d"),
    )
    pixels = [side * side for side in sides]
    for (name, count, style, marker), colour in zip(kinds, colours, strict=False):
        window = scope * scope if count is count_lambda_convolution else None
        counts = [count(Shape(**vars(shape) | {"n": n, "m": window or n})) for n in pixels]
        look = {"label": name, "color": colour, "marker": marker, "markersize": 5, "linestyle": style}
        axes[0].loglog(pixels, [made.bytes for made in counts], **look)
        axes[1].loglog(pixels, [made.multiply_adds for made in counts], **look)
    for ax in axes:
        ax.set_xticks(pixels, [f"{side}²" for side in sides], minor=False)
        ax.set_xticks([], minor=True)
        ax.set(xlabel="pixels n (= context m)")
        ax.grid(alpha=0.3)
    axes[0].set(title="stored for the backward pass", ylabel="bytes")
    axes[0].set_yticks([1024**3 / 4**exponent for exponent in range(-4, 8, 2)])
    axes[0].set_yticks([], minor=True)
    axes[0].yaxis.set_major_formatter(lambda value, _: write_bytes(value))
    axes[1].set(title="work of the forward pass", ylabel="multiply-adds")
    axes[0].legend(fontsize=9)
    return axes[1]


def plot_shape(shape: Shape):
    """Draw stored bytes and multiply-adds of attention and of a lambda layer as bars; returns the last Axes."""
    import seaborn

    axes = new_axes(9, 2.6, columns=2)
    colours = seaborn.color_palette("colorblind")
    counts = count_attention(shape), count_lambda(shape)
    panels = (
        ("stored for the backward pass", "bytes", [made.bytes for made in counts], write_bytes),
        ("work of the forward pass", "multiply-adds", [made.multiply_adds for made in counts], _write_power),
    )
    for ax, (title, unit, amounts, write) in zip(axes, panels, strict=True):
        bars = ax.barh(["attention", "lambda"], amounts, color=colours[:2], log=True)
        ax.bar_label(bars, [write(amount) for amount in amounts], padding=4)
        ax.set(title=title, xlabel=unit, xlim=(1e2, 1e17))
        ax.invert_yaxis()
        ax.grid(axis="x", alpha=0.3)
    return axes[1]


def _write_power(number: float) -> str:
    """Write a large number: 42949672960 → '4.3·10¹⁰'."""
    digits, power = f"{number:.1e}".split("e")
    return f"{digits}·10{str(int(power)).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def write_bytes(amount: float) -> str:
    """Write an amount of memory with a unit: 1536 → '1.5 KiB'."""
    size, unit = next((size, unit) for size, unit in UNITS if amount >= size or size == 1)
    return f"{amount / size:.4g} {unit}"
