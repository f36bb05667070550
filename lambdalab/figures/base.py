"""What all figures share: new Axes, ``show`` with words for the blind, pictures side by side, matrices with scales."""

import torch
from torch import Tensor

SIGNED, UNSIGNED = "RdBu_r", "cividis"


def new_axes(width: float = 6.0, height: float = 4.0, columns: int = 1, **shape):
    """Return the Axes of a new figure of so many inches: one, or an array of so many side by side."""
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=(width, height), layout="constrained", **shape)[1]


def show(axes, alt: str) -> None:
    """Show a figure once in a notebook, with an alternative text.

    Args:
        axes: any Axes of the figure.
        alt: what there is to see, for readers who hear the page.
    """
    from IPython.display import display
    from matplotlib import pyplot

    figure = axes.get_figure()
    display(figure, metadata={"image/png": {"alt": alt}})
    pyplot.close(figure)


def plot_pictures(images: Tensor, titles: list[str] | None = None, ax=None, columns: int = 8):
    """Draw pictures side by side, each under its title.

    Args:
        images: bytes (N, 1 or 3, H, W).
        titles: one for each picture.
        ax: where to draw; a new figure if not given.
        columns: pictures in a row.
    """
    count, channels, height, width = images.shape
    rows, columns = -(-count // columns), min(columns, count)
    gap_y, gap_x = round(height * (0.35 if titles else 0.1)), max(1, round(width * 0.1))
    ax = ax or new_axes(columns * 1.1, rows * 1.1 * (height + gap_y) / height)
    page = torch.full((rows * (height + gap_y), columns * (width + gap_x) - gap_x, channels), 255, dtype=torch.uint8)
    for index, image in enumerate(images.cpu()):
        top, left = index // columns * (height + gap_y) + gap_y, index % columns * (width + gap_x)
        page[top : top + height, left : left + width] = image.permute(1, 2, 0)
        if titles:
            ax.text(left + width / 2 - 0.5, top - 0.8, titles[index], ha="center", va="bottom", fontsize=9)
    ax.imshow(page.expand(-1, -1, 3).numpy(), interpolation="nearest")
    ax.set_axis_off()
    return ax


def plot_matrix(matrix: Tensor, ax=None, *, title="", xlabel="", ylabel="", signed=True, label="value", limit=None):
    """Draw a matrix as a heat map with its scale.

    Args:
        matrix: (rows, columns).
        ax: where to draw; a new figure if not given.
        title: the figure's title.
        xlabel: what the columns are.
        ylabel: what the rows are.
        signed: whether to centre the colours at zero.
        label: what the colours mean, with the unit.
        limit: the value of the strongest colour; by default the largest there is.
    """
    ax = ax or new_axes(4.5, 3.6)
    values = matrix.detach().cpu().float().numpy()
    limit = float(abs(values).max()) if limit is None else limit
    drawn = ax.imshow(values, cmap=SIGNED if signed else UNSIGNED, vmin=-limit if signed else 0, vmax=limit)
    ax.get_figure().colorbar(drawn, ax=ax, label=label, shrink=0.85)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return ax
