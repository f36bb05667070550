"""What the three layers cost, live: turn a knob and see which bar moves."""

import ipywidgets

from lambdalab.cost import compare_layers, pairs
from lambdalab.explorers.base import Explorer
from lambdalab.figures.cost import plot_costs

SIDES = [8, 14, 16, 28, 32, 56, 64, 112]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
SCOPES = [
    ("3", 3),
    ("5", 5),
    ("7", 7),
    ("11", 11),
    ("15", 15),
    ("23", 23),
    ("global", 0),
]  # a slider has no place for None


class CostExplorer(Explorer):
    """Bars of parameters, multiply-adds and memory of a 3×3 convolution, global self-attention and a lambda layer.

    Args:
        dim: channels in and out of each layer.
        **start: values to begin with: side, batch, dim_k, heads, dim_u, scope (0: the global context).
    """

    def __init__(self, dim: int = 64, **start):
        self.dim = dim
        start = {"side": 32, "batch": 16, "dim_k": 16, "heads": 4, "dim_u": 1, "scope": 23} | start
        heads = [h for h in (1, 2, 4, 8, 16, 32) if dim % h == 0]
        options = {"side": SIDES, "batch": BATCHES, "dim_k": [2, 4, 8, 16, 32], "heads": heads, "dim_u": [1, 2, 4, 8]}
        names = {"side": "side [pixels]", "dim_k": "depth k", "heads": "heads h", "dim_u": "intra-depth u"}
        controls = {
            name: ipywidgets.SelectionSlider(options=choices, value=start[name], description=names.get(name, name))
            for name, choices in (options | {"scope": SCOPES}).items()
        }
        super().__init__(self._draw, controls, self._explain)

    def _draw(self, scope, **shape):
        return plot_costs(compare_layers(self.dim, scope=scope or None, **shape))

    def _explain(self, side, batch, dim_k, heads, dim_u, scope) -> str:
        scope = scope or None
        n, v = side * side, self.dim // heads
        context = pairs((side, side), scope) // n
        bills = compare_layers(self.dim, side, batch=batch, dim_k=dim_k, heads=heads, dim_u=dim_u, scope=scope)
        ratio = bills["self-attention"].activations / bills["lambda layer"].activations
        return (
            f"n = {side}² = {n:,} pixels, d = {self.dim} channels, v = d/h = {v}.<br>"
            f"Attention's maps: b·h·n² = {batch}·{heads}·{n:,}² = {batch * heads * n * n:,} numbers.<br>"
            f"Position lambdas: b·n·k·v = {batch}·{n:,}·{dim_k}·{v} = {batch * n * dim_k * v:,} numbers, each "
            f"a sum over {context:,} context positions and u = {dim_u}.<br>"
            f"Attention keeps {ratio:.3g} times what the lambda layer keeps."
        )
