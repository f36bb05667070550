"""Figures of the published training log: its curves, its learning rates, and why the run failed."""

import math
from itertools import pairwise

from torch import Tensor

from lambdalab.figures.base import UNSIGNED, new_axes
from lambdalab.recipe import TrainConfig, learning_rate


def plot_log(log, metrics=None):
    """Draw the published loss and accuracy over the epochs, with a panel for the epochs that were not published.

    Args:
        log: a ``TrainingLog``.
        metrics: a run's ``Run.metrics``, laid over it; its accuracies are of its training and validation parts.

    Returns:
        The upper left of six Axes: loss above accuracy; early, missing and late epochs.
    """
    import seaborn
    from matplotlib import pyplot

    colours = seaborn.color_palette("colorblind")
    steps, epochs = log.tables()
    last_early, first_late = _gap(epochs["epoch"])
    widths = {"width_ratios": [5, 2.2, 2.2], "wspace": 0.05}
    axes = pyplot.subplots(2, 3, figsize=(10, 6), sharex="col", sharey="row", gridspec_kw=widths)[1]
    limits = (0, last_early + 0.3), (last_early + 0.3, first_late - 1.3), (first_late - 1.3, max(epochs["epoch"]) + 0.3)
    at = steps["epoch"] - 1 + (steps["step"] + 1) / steps["steps"]
    for column, ax in enumerate(axes.T):
        for part in ax:
            part.set_xlim(*limits[column])
            part.grid(alpha=0.3)
            part.tick_params(which="both", left=column == 0)
        if column == 1:
            continue
        chosen = (at > limits[column][0]) & (at <= limits[column][1])
        late = (epochs["epoch"] > limits[column][0]) & (epochs["epoch"] <= limits[column][1])
        ax[0].plot(at[chosen], steps["loss"][chosen], "o-", ms=3, color=colours[0], label="published, training")
        ax[1].plot(at[chosen], steps["top1"][chosen], "o-", ms=3, color=colours[0], label="published, training")
        ax[1].plot(*epochs.loc[late, ["epoch", "top1"]].T.values, "s-", ms=5, color=colours[1], label="published, test")
    if metrics is not None:
        _overlay(axes, metrics, colours)
    _label(axes, last_early, first_late)
    return axes[0, 0]


def _gap(epochs) -> tuple[int, int]:
    """Return the epochs before and after the widest gap."""
    numbers = sorted(set(epochs))
    return max(pairwise(numbers), key=lambda pair: pair[1] - pair[0])


def _overlay(axes, metrics, colours) -> None:
    """Draw a run of ours into all panels."""
    for row, quantity, scale in ((0, "loss", 1), (1, "top1", 100)):
        for part, colour, style in (("train", colours[2], "--"), ("val", colours[4], "-")):
            name = f"this run, {'training' if part == 'train' else 'validation'}"
            for ax in axes[row]:
                ax.plot(metrics["epoch"], metrics[f"{part}_{quantity}"] * scale, style, color=colour, label=name)


def _label(axes, last_early: int, first_late: int) -> None:
    axes[0, 0].set(yscale="log", ylabel="cross-entropy [nats], log scale")
    axes[1, 0].set(ylabel="top-1 accuracy [%]", ylim=(0, 105))
    for classes, text in ((1000, "ln 1000"), (10, "ln 10")):
        for ax in axes[0]:
            ax.axhline(math.log(classes), color="0.35", linestyle=":", linewidth=1)
        axes[0, 0].text(last_early, math.log(classes) * 1.06, text, ha="right", va="bottom", color="0.3", fontsize=9)
    for ax in axes[1]:
        ax.axhline(10, color="0.35", linestyle=":", linewidth=1)
    axes[1, 0].text(last_early, 12, "chance, 10 classes", ha="right", va="bottom", color="0.3", fontsize=9)
    for ax in axes[:, 1]:
        ax.set_facecolor("0.92")
        missing = f"epochs {last_early + 1} to {first_late - 1}:\nnot published"
        ax.text(0.5, 0.5, missing, ha="center", va="center", color="0.35", fontsize=10, transform=ax.transAxes)
    for ax, title in zip(axes[0], ("the first epochs", "the gap", "the last epochs"), strict=True):
        ax.set_title(title)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    handles, names = axes[1, 0].get_legend_handles_labels()
    axes[1, 0].get_figure().legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, -0.04), ncols=4)


def plot_restarts(log, config: TrainConfig, stopped: dict[int, str], ax=None):
    """Draw a schedule of warm restarts, the learning rates that a log gives, and where runs were stopped.

    Args:
        log: a ``TrainingLog``.
        config: the recipe whose ``learning_rate`` is drawn.
        stopped: by epoch what stopped there.
        ax: where to draw; a new figure if not given.
    """
    import numpy
    import seaborn

    ax = ax or new_axes(10, 3.8)
    colours = seaborn.color_palette("colorblind")
    epochs = numpy.arange(config.epochs)
    rates = [learning_rate(config, epoch) for epoch in epochs]
    ax.step(epochs, rates, where="post", color="0.45", linewidth=1.2, label="cosine with warm restarts")
    seen = [(epoch.epoch - 1, epoch.lr) for epoch in log.epochs]
    ax.plot(*zip(*seen, strict=True), "o", ms=5, color=colours[1], label="in the log")
    length, end = config.restart_epochs, config.restart_epochs
    while end <= config.epochs:
        ax.axvline(end, color=colours[0], linestyle=":", linewidth=1.2)
        ax.text(end, config.lr * 1.06, f"{end}", ha="center", color=colours[0], backgroundcolor="white")
        length, end = length * 2, end + length * 2
    for (epoch, text), height in zip(stopped.items(), (0.42, 0.2, 0.6), strict=False):
        right = epoch < config.epochs / 2
        look = {"arrowprops": {"arrowstyle": "->", "shrinkB": 4}, "ha": "left" if right else "right", "fontsize": 9}
        place = (epoch + 7 if right else epoch - 7, config.lr * height)
        ax.annotate(text, (epoch, learning_rate(config, epoch - 1)), place, va="center", **look)
    ax.set(
        xlabel="epochs trained", ylabel="learning rate", ylim=(-0.003, config.lr * 1.18), xlim=(-4, config.epochs + 8)
    )
    ax.legend(loc="upper right", bbox_to_anchor=(0.97, 0.93), fontsize=9, framealpha=1)
    return ax


def plot_causes(norms: dict[str, list[float]], cures: set[str], ax=None):
    """Draw gradient norms at step 0 on a log axis: a bar for their median (of the logarithms), a dot for each.

    Args:
        norms: by the network's name one norm for each seed; the first is the network that failed.
        cures: names that are drawn as cured.
        ax: where to draw; a new figure if not given.
    """
    import seaborn
    from torch import tensor

    ax = ax or new_axes(10, 0.9 + 0.5 * len(norms))
    colours = seaborn.color_palette("colorblind")
    for row, (name, values) in enumerate(norms.items()):
        middle = float(tensor(values).log().quantile(0.5).exp())
        cured = name in cures
        colour = colours[0] if cured else "0.35" if row == 0 else colours[1]
        ax.barh(row, middle, color=colour, hatch="//" if cured else None, edgecolor="white", height=0.7)
        ax.plot(values, [row] * len(values), "o", color="black", mfc="white", ms=5)
        ax.text(
            max(values) * 1.5,
            row,
            f"{float(f'{middle:.2g}'):,.0f}",
            va="center",
            fontsize=10,
            weight="bold" if cured else None,
        )
    ax.set_yticks(range(len(norms)), list(norms))
    for label in ax.get_yticklabels():
        label.set_weight("bold" if label.get_text() in cures else "normal")
    largest = max(max(values) for values in norms.values())
    ax.set(
        xscale="log", xlim=(1, largest * 60), xlabel="norm of the gradient at step 0 (log scale; ○ one network each)"
    )
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    return ax


def plot_loudest(shares: dict[str, Tensor]):
    """Draw each picture's share of a batch's energy, block after block, a heat map for each network.

    Args:
        shares: by the network's name ``gradients.energy_shares``, (blocks, b).

    Returns:
        The first Axes.
    """
    axes = new_axes(1 + 4.2 * len(shares), 3.9, columns=len(shares), sharey=True, squeeze=False)[0]
    for ax, (name, matrix) in zip(axes, shares.items(), strict=True):
        blocks, batch = matrix.shape
        extent = (0.5, batch + 0.5, blocks + 0.5, 0.5)
        drawn = ax.imshow((100 * matrix).numpy(), cmap=UNSIGNED, vmin=0, vmax=100, aspect="auto", extent=extent)
        ax.set(title=name, xlabel="picture of the batch")
    axes[0].set_ylabel("lambda layer, first to last")
    axes[0].get_figure().colorbar(drawn, ax=list(axes), label="share of the batch's energy [%]")
    return axes[0]


def plot_norms(steps: dict[str, list], ax=None):
    """Draw how many times larger than at the start the convolutions' weights are after each step, on a log axis.

    Args:
        steps: by the network's name ``norms.norms_over_steps``.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(8, 4)
    for (name, rows), colour, marker in zip(steps.items(), seaborn.color_palette("colorblind"), "os^Dv", strict=False):
        count = range(len(rows) + 1)
        look = {"color": colour, "marker": marker, "ms": 5}
        ax.plot(count, [1] + [row.first for row in rows], "-", label=f"{name}: first convolution", **look)
        ax.plot(count, [1] + [row.median for row in rows], "--", label=f"{name}: median convolution", **look)
    ax.set(yscale="log", xlabel="steps", ylabel="‖W‖ over ‖W‖ at the start (log scale)")
    ax.set_xticks(list(count))
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    ax.grid(alpha=0.3)
    return ax
