"""Figures of a training run: its curves and its learning rate."""

from lambdalab.figures.base import new_axes


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
