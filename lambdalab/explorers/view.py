"""One query's view of the context: the numbers that an explorer shows, as a figure and as files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lambdalab.capture import Captured, implied_attention
from lambdalab.errors import UserError
from lambdalab.files import atomic_write

PARTS = ("content", "position", "total")


class View(NamedTuple):
    """What one query of one head listens to; each total is content + position.

    ``content``, ``position``: signed weights (u, H, W), of which Σ total·V is the layer's output. ``content_lambda``,
    ``position_lambda``: λc and λp of this query, (k, v). ``query``: q, (k,).
    """

    layer: str
    head: int
    pixel: tuple[int, int]
    content: np.ndarray
    position: np.ndarray
    content_lambda: np.ndarray
    position_lambda: np.ndarray
    query: np.ndarray

    @property
    def maps(self) -> list[np.ndarray]:
        """The weights by part, (H, W), the copies u summed over."""
        content, position = self.content.sum(axis=0), self.position.sum(axis=0)
        return [content, position, content + position]

    @property
    def lambdas(self) -> list[np.ndarray]:
        """The lambdas by part, (k, v)."""
        return [self.content_lambda, self.position_lambda, self.content_lambda + self.position_lambda]

    @property
    def limits(self) -> tuple[float, float]:
        """The largest absolute value of the maps, and of the lambdas."""
        return tuple(max(float(abs(each).max()) for each in group) for group in (self.maps, self.lambdas))


def look_at(captured: Captured, layer: str, head: int, pixel: tuple[int, int]) -> View:
    """Return the view of one query of the first picture captured.

    Raises:
        UserError: if there is no such head or pixel.
    """
    content, position, _ = implied_attention(captured, 0, head, pixel)
    position_lambda = captured.position_lambdas([pixel])[0, 0]
    found = captured.content
    content_lambda = torch.zeros_like(position_lambda) if found is None else found[0]
    query = captured.queries[0, head, pixel[0] * captured.size[1] + pixel[1]]
    arrays = (part.float().numpy() for part in (content, position, content_lambda, position_lambda, query))
    return View(layer, head, tuple(pixel), *arrays)


def draw_view(view: View, picture: np.ndarray, own: bool = False):
    """Draw what the explorer shows, for paper; returns the last Axes.

    Args:
        view: what to draw.
        picture: bytes (H, W, 3).
        own: whether each map and matrix has a scale of its own, said in its title.
    """
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    from lambdalab.figures.base import SIGNED

    figure, axes = pyplot.subplots(2, 4, figsize=(11, 4.6), height_ratios=(1.7, 1), layout="constrained")
    height, width = view.content.shape[1:]
    everywhere = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes[0, 0].imshow(picture, extent=everywhere, aspect=picture.shape[0] * width / (picture.shape[1] * height))
    axes[0, 0].set_title("picture")
    rows = ((view.maps, "weights", view.limits[0]), (view.lambdas, "λ", view.limits[1]))
    for ax_row, (parts, name, shared) in zip(axes, rows, strict=True):
        for ax, part, title in zip(ax_row[1:], parts, PARTS, strict=True):
            limit = float(abs(part).max()) if own else shared
            fit = "equal" if name == "weights" else "auto"
            drawn = ax.imshow(part, cmap=SIGNED, vmin=-limit or -1, vmax=limit or 1, aspect=fit)
            title = title if name == "weights" else f"λ {title}"
            ax.set_title(f"{title} ±{limit:.2g}" if own else title)
        if not own:
            figure.colorbar(drawn, ax=ax_row, label=name)
    row, column = view.pixel
    for ax in axes[0]:
        for colour, thickness in (("white", 3), ("black", 1.2)):
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=colour, lw=thickness))
        ax.set_axis_off()
    for ax in axes[1, 1:]:
        ax.set(xlabel="v", ylabel="k")
    axes[1, 0].set_axis_off()
    said = (view.layer, f"head {view.head}", f"row {row}, column {column}")
    axes[1, 0].text(0, 1, "\n".join(said), va="top", fontsize=9)
    return axes[1, 3]


def save_view(view: View, picture: np.ndarray, folder: str | Path, own: bool = False) -> list[Path]:
    """Write ``draw_view``'s figure as PNG and SVG and the arrays as npz, named by layer, head and pixel.

    Returns:
        The files. The npz holds what ``View`` holds, and the picture.

    Raises:
        UserError: if the folder cannot be written.
    """
    from matplotlib import pyplot

    figure = draw_view(view, picture, own).get_figure()
    name = f"{view.layer}-head{view.head}-row{view.pixel[0]}-column{view.pixel[1]}"
    files = [Path(folder) / f"{name}.{kind}" for kind in ("png", "svg", "npz")]
    try:
        for path in files[:2]:
            with atomic_write(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], dpi=150)
        with atomic_write(files[2]) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **view._asdict(), picture=picture)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror}); choose another folder") from None
    finally:
        pyplot.close(figure)
    return files
