"""An explorer of scopes: what a layer's position embeddings weigh, and how far a smaller window would still see."""

from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from torch import Tensor, nn

from lambdalab.capture import capture_lambdas
from lambdalab.errors import UserError
from lambdalab.explorers.base import Explorer
from lambdalab.explorers.lambdas import fit_pictures
from lambdalab.inputs import InputFormat
from lambdalab.listening import mean_distance, receptive_field


class ScopeExplorer(Explorer):
    """Choose a layer and a scope; see its k kernels inside this window, and the receptive field by position.

    The field is the mean of Σ_u |q_n·E_{m−n,u}| over queries, heads and pictures. A weight inside the window does not
    depend on the window's size, so a smaller scope is the same field with its outside cut off.

    Args:
        model: any model that ``capture_lambdas`` knows.
        pictures: whatever ``InputFormat.fit`` takes, as a sequence or as a mapping from names; all are averaged over.
        like: what the model takes: the dataset it was trained on, or an ``InputFormat``.

    Raises:
        UserError: no pictures, or one that cannot be read; a model without position lambdas.
    """

    def __init__(self, model: nn.Module, pictures: Mapping | Sequence | Tensor, *, like):
        form = InputFormat.like(like)
        images = form.normalise(torch.stack(list(fit_pictures(pictures, None, form).values())))
        training, device = model.training, next(model.parameters()).device
        try:
            with torch.no_grad(), capture_lambdas(model.eval()) as record:
                model(images.to(device))
        finally:
            model.train(training)
        self.layers = {name: record[name] for name in record.layers if record[name].embedding is not None}
        if not self.layers:
            raise UserError(f"this {type(model).__name__} has no position lambdas, so there is no scope to explore")
        self._fields: dict[str, Tensor] = {}
        layer = ipywidgets.Dropdown(options=list(self.layers), layout={"width": "26em"})
        scope = ipywidgets.SelectionSlider(options=[1], description="scope [px]")
        self._fit_scope(layer.value, scope)
        layer.observe(lambda change: self._fit_scope(change["new"], scope), names="value")
        super().__init__(self._draw, {"layer": layer, "scope": scope}, self._explain)

    def field(self, layer: str, scope: int) -> Tensor:
        """Return the effective receptive field by position inside a window of scope×scope, (2H−1, 2W−1)."""
        if layer not in self._fields:
            self._fields[layer] = receptive_field(self.layers[layer], "position")
        whole = self._fields[layer]
        inside = torch.zeros_like(whole)
        rows, columns = (_middle(length, scope) for length in whole.shape)
        inside[rows, columns] = whole[rows, columns]
        return inside

    def kernels(self, layer: str, scope: int) -> Tensor:
        """Return the layer's position embeddings inside a window of scope×scope, (k, u, ≤ scope, ≤ scope)."""
        whole = self.layers[layer].embedding.float()
        rows, columns = (_middle(length, scope) for length in whole.shape[2:])
        return whole[:, :, rows, columns]

    def _fit_scope(self, layer: str, scope: ipywidgets.SelectionSlider) -> None:
        """Offer the odd widths up to the layer's own, or to what exists on its map, whichever is smaller."""
        captured = self.layers[layer]
        largest = min(max(captured.embedding.shape[2:]), 2 * max(captured.size) - 1)
        options = tuple(range(1, largest + 1, 2))
        if scope.options != options:
            scope.options = options
            scope.value = largest

    def _draw(self, layer: str, scope: int):
        from lambdalab.figures.base import new_axes
        from lambdalab.figures.lambdas import plot_kernels, plot_tiles

        axes = new_axes(15, 4.4, columns=2, width_ratios=(2.3, 1))
        plot_kernels(self.kernels(layer, scope), ax=axes[0])
        title = f"receptive field by position, scope {scope}"
        return plot_tiles([self.field(layer, scope)], [title], axes[1], label="mean |a|", signed=False)

    def _explain(self, layer: str, scope: int) -> str:
        (height, width), field = self.layers[layer].size, self.field(layer, scope)
        return (
            f"A window of {scope}×{scope} on a map of {height}×{width} holds {self.share(layer, scope):.0%} of the "
            f"layer's Σ|weight| by position; inside it the mean distance, by weight, is {mean_distance(field):.1f} px. "
            "Content is not bound to a window."
        )

    def share(self, layer: str, scope: int) -> float:
        """Return how much of Σ_nmu |q_n·E_{m−n,u}| lies inside a window of scope×scope."""
        ways = [length - torch.arange(1 - length, length).abs() for length in self.layers[layer].size]
        pairs = ways[0][:, None] * ways[1]  # how many queries have a pixel at this offset
        whole = self.field(layer, 2 * max(self.layers[layer].size))
        return float((self.field(layer, scope) * pairs).sum() / (whole * pairs).sum())


def _middle(length: int, scope: int) -> slice:
    """The middle ``scope`` of so many offsets, or all of them."""
    return slice(max(0, length // 2 - scope // 2), length // 2 + scope // 2 + 1)
