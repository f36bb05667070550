"""Figures of what a lambda layer makes of a picture."""

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
