"""Figures: ``plot_*(data, ax=None) -> Axes``, and ``show`` to put one into a notebook, with words for the blind.

Signed values get a diverging map centred at zero, others a sequential one; both are readable with colour-blind eyes.
"""

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
    ax.imshow(page.expand(-1, -1, 3) if channels == 1 else page, interpolation="nearest")
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


def plot_curves(metrics, quantity: str = "top1", ax=None):
    """Draw training and validation curves of a run's metrics over the epochs.

    Args:
        metrics: the pandas table of ``Fit.metrics`` or ``Run.metrics``.
        quantity: "top1" or "loss".
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes()
    share = quantity == "top1"
    colours = seaborn.color_palette("colorblind")
    for part, colour, style in (("train", colours[0], "--"), ("val", colours[1], "-")):
        values = metrics[f"{part}_{quantity}"] * (100 if share else 1)
        name = "training" if part == "train" else "validation"
        ax.plot(metrics["epoch"], values, style, color=colour, marker=".", label=name)
    ax.set(xlabel="epoch", ylabel="top-1 accuracy [%]" if share else "cross-entropy [nats]")
    ax.set_title("Accuracy" if share else "Loss")
    ax.legend()
    ax.grid(alpha=0.3)
    return ax


def plot_learning_rate(config, ax=None):
    """Draw a recipe's learning rate over the epochs."""
    import numpy
    import seaborn

    from lambdalab.recipe import learning_rate

    ax = ax or new_axes()
    epochs = numpy.linspace(0, config.epochs, 500, endpoint=False)
    ax.plot(epochs, [learning_rate(config, epoch) for epoch in epochs], color=seaborn.color_palette("colorblind")[2])
    ax.set(title=f"Learning rate: {config.schedule}", xlabel="epoch", ylabel="learning rate")
    ax.grid(alpha=0.3)
    return ax


def plot_two_ways(picture: Tensor, attention: Tensor, lambdas: Tensor):
    """Draw what attention and what a lambda layer store of one picture, side by side; returns the last Axes.

    Args:
        picture: bytes (1 or 3, H, W).
        attention: the map of one head, (n, m).
        lambdas: the content lambda, (k, v).
    """
    axes = new_axes(10, 3.6, columns=3, width_ratios=[1, 1.5, 1.1])
    image = picture.permute(1, 2, 0).cpu()
    axes[0].imshow(image, cmap="gray" if image.shape[2] == 1 else None)
    axes[0].set(title=f"a picture: {attention.shape[0]} pixels", xticks=[], yticks=[])
    n, m = attention.shape
    k, v = lambdas.shape
    text = f"attention: {n}×{m} weights\nfor every head and picture"
    plot_matrix(attention, axes[1], title=text, signed=False, label="weight", xlabel="context m", ylabel="query n")
    text = f"lambda: a {k}×{v} matrix,\na function for every query"
    plot_matrix(lambdas, axes[2], title=text, label="λc", xlabel="value depth v", ylabel="key depth k")
    return axes[2]
