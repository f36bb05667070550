"""Figures of what lambda layers listen to: energies by part, changes, likeness of heads, other maps, accuracies."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lambdalab.figures.base import new_axes, plot_matrix
from lambdalab.figures.lambdas import plot_tiles
from lambdalab.interventions import Change


def plot_energy(shares: dict[str, Tensor], ax=None):
    """Draw how much of the output's energy is content, position, and both together: a mark a head, layer by layer.

    Args:
        shares: by layer, what ``listening.energy_shares`` returns, (h, 3).
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(max(5.5, 1.6 + 0.6 * len(shares)), 3.6)
    colours = seaborn.color_palette("colorblind")
    styles = (("content", "o", colours[0]), ("position", "s", colours[1]))
    for layer, by_head in enumerate(shares.values()):
        content, position, both = (100 * by_head.cpu()).T
        # Side by side, so that heads can be told apart.
        places = layer + torch.linspace(-0.25, 0.25, len(by_head)) if len(by_head) > 1 else torch.tensor([layer])
        for (label, marker, colour), part in zip(styles, (content, position), strict=True):
            ax.plot(places, part, marker, color=colour, markersize=6, label=label)
        for marker, label, chosen in (
            ("^", "2·content·position > 0", both > 0),
            ("v", "2·content·position < 0", both < 0),
        ):
            style = {"color": "0.35", "fillstyle": "none", "linestyle": "", "markersize": 5}
            ax.plot(places[chosen], both[chosen].abs(), marker=marker, label=label, **style)
    ax.axhline(100, color="grey", linestyle=":")
    ax.set_yscale("log", nonpositive="mask")
    ax.yaxis.set_major_formatter("{x:g}")
    crowded = sum(map(len, shares)) > 40
    ax.set_xticks(range(len(shares)), shares, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    ax.set(
        title="Content and position in the output's energy", ylabel="share of Σ|y|² [%]", xlabel="layer; a mark a head"
    )
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(handles.values(), handles, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    ax.grid(alpha=0.3, axis="y")
    return ax


def plot_changes(changes: dict[str, Change], ax=None):
    """Draw how much content and position lambdas change, for each way to change the picture.

    Args:
        changes: by name, what ``interventions.lambda_change`` returns.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(7.5, 1.3 + 0.62 * len(changes))
    colours = seaborn.color_palette("colorblind")
    parts = (
        ("content λc", [each.content for each in changes.values()], ""),
        ("position λp", [each.position for each in changes.values()], "//"),
    )
    for index, (label, sizes, hatch) in enumerate(parts):
        places = [place + 0.4 * (index - 0.5) for place in range(len(changes))]
        style = {"color": colours[index], "hatch": hatch, "edgecolor": "white"}
        bars = ax.barh(places, sizes, height=0.36, label=label, **style)
        ax.bar_label(bars, [f"{size:.2f}" if size >= 0.005 else f"{size:.0e}" for size in sizes], padding=3, fontsize=8)
    ax.set_yticks(range(len(changes)), changes)
    ax.invert_yaxis()
    largest = max(max(each) for each in changes.values())
    ax.set(title="How much the lambdas change", xlabel="‖λ after − λ before‖ / ‖λ before‖", xlim=(0, 1.15 * largest))
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_similarity(cosines: Tensor, among: str = "heads", ax=None):
    """Draw how alike the maps of heads or copies are.

    Args:
        cosines: what ``listening.similarity`` returns, (h, h) or (u, u).
        among: "heads" or "copies".
        ax: where to draw; a new figure if not given.
    """
    one = among.replace("copies", "copy").removesuffix("s")
    ax = plot_matrix(
        cosines, ax, title=f"How alike the {among} listen", xlabel=one, ylabel=one, label="cosine", limit=1
    )
    ax.set(xticks=range(len(cosines)), yticks=range(len(cosines)))
    for row, numbers in enumerate(cosines.tolist()):
        for column, number in enumerate(numbers):
            colour = "white" if abs(number) > 0.6 else "black"
            ax.text(column, row, f"{number:.2f}", ha="center", va="center", color=colour, fontsize=9)
    return ax


def plot_explanations(picture: Tensor, maps: dict[str, Tensor], ax=None, columns: int = 6):
    """Draw maps of one picture made in different ways, each in its own scale.

    Args:
        picture: bytes (1 or 3, H, W).
        maps: by name, (H, W), signed.
        ax: where to draw; a new figure if not given.
        columns: how many in a row, the picture included.
    """
    ax = plot_tiles(list(maps.values()), list(maps), ax, shared=False, picture=picture, columns=columns, inches=1.8)
    ax.set_title("One picture, asked in different ways", fontsize=11)
    ax.set_xlabel(
        "red: positive, blue: negative; blue to yellow: nothing is negative; each has its own scale", fontsize=9
    )
    return ax


def plot_agreement(correlations: dict[str, Sequence[float]], ax=None):
    """Draw rank correlations of two kinds of maps: a dot a picture, a line their mean.

    Args:
        correlations: by what is compared, one ρ a picture; nan (a constant map) is left out and counted.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(7.5, 1.3 + 0.5 * len(correlations))
    colour, generator = seaborn.color_palette("colorblind")[0], torch.Generator().manual_seed(0)
    names = []
    for place, (name, values) in enumerate(correlations.items()):
        numbers = torch.tensor([value for value in values if value == value])
        missing = len(values) - len(numbers)
        names.append(f"{name} ({missing} constant)" if missing else name)
        # Dots are spread a little, so that equal ones can be told apart.
        spread = 0.3 * (torch.rand(len(numbers), generator=generator) - 0.5)
        ax.plot(numbers, place + spread, "o", color=colour, alpha=0.45, markersize=4)
        ax.plot([numbers.mean()] * 2, [place - 0.3, place + 0.3], color="black", linewidth=2)
    ax.axvline(0, color="grey", linestyle=":")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(title="Do the maps agree?", xlabel="Spearman's ρ; a dot a picture, the line their mean", xlim=(-1.05, 1.05))
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_without(accuracies: dict[str, float], chance: float, ax=None):
    """Draw a trained model's accuracy with and without its content or position lambdas.

    Args:
        accuracies: by what was left in, a share of right guesses.
        chance: the share that guessing gets.
        ax: where to draw; a new figure if not given.
    """
    import seaborn

    ax = ax or new_axes(7.5, 1.3 + 0.42 * len(accuracies))
    colours = seaborn.color_palette("colorblind")
    percent = [100 * share for share in accuracies.values()]
    bars = ax.barh(list(accuracies), percent, color=colours[: len(percent)], alpha=0.75)
    ax.bar_label(bars, [f"{share:.1f}" for share in percent], padding=4)
    ax.axvline(100 * chance, color="grey", linestyle=":", label=f"guessing: {chance:.1%}")
    ax.invert_yaxis()
    ax.set(title="A trained model without one of its lambdas", xlabel="top-1 accuracy [%]", xlim=(0, 112))
    ax.set_xticks(range(0, 101, 20))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.4 / (0.3 + 0.42 * len(accuracies))), frameon=False)
    ax.grid(alpha=0.3, axis="x")
    return ax
