"""Figures of what a lambda layer makes of a picture."""

import torch
from torch import Tensor

from lambdalab.figures.base import new_axes, plot_matrix


def plot_two_ways(picture: Tensor, attention: Tensor, lambdas: Tensor):
    """Draw what attention and what a lambda layer store of one picture, side by side; returns the last Axes.

    Args:
        picture: bytes (1 or 3, H, W).
        attention: the map of one head, (n, m).
        lambdas: the content lambda, (k, v).
    """
    axes = new_axes(10, 3.6, columns=3, width_ratios=[1, 1.5, 1.1])
    image = picture.permute(1, 2, 0).cpu().numpy()
    axes[0].imshow(image, cmap="gray" if image.shape[2] == 1 else None)
    axes[0].set(title=f"a picture: {attention.shape[0]} pixels", xticks=[], yticks=[])
    n, m = attention.shape
    k, v = lambdas.shape
    text = f"attention: {n}×{m} weights\nfor every head and picture"
    plot_matrix(attention, axes[1], title=text, signed=False, label="weight", xlabel="context m", ylabel="query n")
    text = f"lambda: a {k}×{v} matrix,\na function for every query"
    plot_matrix(lambdas, axes[2], title=text, label="λc", xlabel="value depth v", ylabel="key depth k")
    return axes[2]


def plot_softmax_effect(contexts: list[int], sizes: dict[str, list[float]], ax=None):
    """Draw how large λc's numbers are as the context grows, on two logarithmic axes.

    Args:
        contexts: numbers m of context positions.
        sizes: for each way to weigh the values, a size for each m.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(5.5, 3.4)
    colours = seaborn.color_palette("colorblind")
    for (name, values), colour, marker in zip(sizes.items(), colours, "os^v", strict=False):
        ax.loglog(contexts, values, marker=marker, color=colour, label=name)
    ax.set(title="Size of the content lambda", xlabel="context positions m", ylabel="root mean square of λc")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def plot_embedding_rows(pairs: Tensor, queries: list[tuple[int, int]], size: tuple[int, int]):
    """Draw which number of the table each context position gets from a few queries; returns the last Axes.

    Args:
        pairs: E for one k and u, (n, m).
        queries: positions (row, column), each marked in its panel.
        size: (H, W) of the picture.
    """
    axes = new_axes(3.4 * len(queries), 3.0, columns=len(queries), squeeze=False)[0]
    limit = float(pairs.abs().max())
    for ax, (row, column) in zip(axes, queries, strict=True):
        weights = pairs[row * size[1] + column].unflatten(0, size)
        title, words = f"query at row {row}, column {column}", {"xlabel": "column of m", "ylabel": "row of m"}
        plot_matrix(weights, ax, title=title, label="E[n, m]", limit=limit, **words)
        ax.plot(column, row, marker="s", markersize=13, fillstyle="none", markeredgecolor="black", linestyle="")
    return axes[-1]


def plot_shift(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]):
    """Draw a picture and a map made of it, and both once more for the shifted picture; returns the last Axes.

    Args:
        before: the picture and its map, each (H, W).
        after: the same for the shifted picture.
    """
    axes = new_axes(13, 3.0, columns=4)
    limit = float(before[1].abs().max())
    words = {"xlabel": "column", "ylabel": "row"}
    for index, ((picture, made), which) in enumerate(
        zip((before, after), ("a picture", "the picture, shifted"), strict=True)
    ):
        plot_matrix(picture, axes[2 * index], title=which, signed=False, label="grey value", **words)
        title = "one number of its λp"
        plot_matrix(made, axes[2 * index + 1], title=title, label="λp[0, 0]", limit=limit, **words)
    for ax in axes:
        ax.set(xticks=range(0, before[0].shape[1], 5), yticks=range(0, before[0].shape[0], 5))
    return axes[-1]


def plot_reading_orders(orders: dict[str, Tensor]):
    """Draw which value channel is taken for which copy u and depth v, a panel an order; returns the last Axes.

    Args:
        orders: by name, the channels' numbers (u, v). A channel that the first order puts elsewhere is hatched.
    """
    import seaborn
    from matplotlib.patches import Rectangle

    axes = new_axes(3.6 * len(orders), 2.4, columns=len(orders), squeeze=False)[0]
    right, colours = next(iter(orders.values())), seaborn.color_palette("colorblind")
    for ax, (name, order) in zip(axes, orders.items(), strict=True):
        copies, depth = order.shape
        for u in range(copies):
            for v in range(depth):
                # The colour says to which copy the first order gives this channel.
                home = int((right == order[u, v]).nonzero()[0, 0])
                hatch = "" if order[u, v] == right[u, v] else "///"
                box = {"facecolor": (*colours[home], 0.45), "edgecolor": "black", "hatch": hatch}
                ax.add_patch(Rectangle((v - 0.5, u - 0.5), 1, 1, **box))
                words = {"ha": "center", "va": "center", "fontsize": 13, "fontweight": "bold"}
                ax.text(v, u, int(order[u, v]), bbox={"facecolor": "white", "edgecolor": "none", "pad": 2}, **words)
        ax.set(xlim=(-0.5, depth - 0.5), ylim=(copies - 0.5, -0.5), xticks=range(depth), yticks=range(copies))
        ax.set(title=name, xlabel="value depth v", ylabel="copy u")
    return axes[-1]


def plot_first_step(norms: dict[str, list[float]], shares: dict[str, list[float]], batch: int):
    """Draw gradient norms at step 0 and how one picture drowns out the others; returns the last Axes.

    Args:
        norms: for each network, the total gradient norm, a number a seed.
        shares: for each network, the largest share of energy in one picture after each block.
        batch: pictures in the batch; 1/batch is the share of each if all are equally loud.
    """
    import seaborn

    axes = new_axes(10.5, 3.4, columns=2, width_ratios=[1, 1.7])
    colours = seaborn.color_palette("colorblind")[:4:3]
    for index, ((name, values), colour, marker) in enumerate(zip(norms.items(), colours, "os", strict=True)):
        axes[0].plot([index] * len(values), values, marker, color=colour, markersize=8)
        blocks = range(1, len(shares[name]) + 1)
        axes[1].plot(blocks, [100 * share for share in shares[name]], marker=marker, color=colour, label=name)
    axes[0].set(yscale="log", xticks=range(len(norms)), xticklabels=norms, xlim=(-0.5, len(norms) - 0.5))
    axes[0].set(title="Pull at step 0", ylabel="total gradient norm")
    axes[1].axhline(100 / batch, color="grey", linestyle=":", label=f"all equally loud: 1/{batch}")
    axes[1].set(title="The loudest picture of the batch", xlabel="block", ylabel="share of λ-output energy [%]")
    axes[1].set(ylim=(0, 103))
    axes[1].legend()
    for ax in axes:
        ax.grid(alpha=0.3)
    return axes[-1]


def plot_accuracies(accuracies: dict[str, list[float]], chance: float, ax=None):
    """Draw accuracies with their spread: a dot a seed, a bar their mean, a whisker their standard deviation.

    Args:
        accuracies: for each layer, a share of right guesses a seed.
        chance: the share that guessing gets.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(7.5, 3.6)
    colours = seaborn.color_palette("colorblind")
    for index, values in enumerate(accuracies.values()):
        percent = 100 * torch.tensor(values)
        spread = percent.std().item() if len(values) > 1 else 0.0
        ax.bar(index, percent.mean().item(), yerr=spread, capsize=6, color=colours[index], alpha=0.5, width=0.6)
        ax.plot([index] * len(values), percent.tolist(), "o", color="black", markersize=4)
    ax.axhline(100 * chance, color="grey", linestyle=":", label=f"guessing: {chance:.1%}")
    ax.set(xticks=range(len(accuracies)), xticklabels=accuracies, ylim=(0, 120), yticks=range(0, 101, 20))
    count = len(next(iter(accuracies.values())))
    seeds = "1 seed" if count == 1 else f"mean ± standard deviation of {count} seeds"
    ax.set(title=f"offset_pairs, one layer: {seeds}", ylabel="test top-1 accuracy [%]")
    ax.legend(loc="upper left")
    ax.grid(alpha=0.3, axis="y")
    return ax
