"""What a lambda layer did to one input: queries, lambdas, and the attention that it never forms.

The layer's output is a sum over the context, y_n = Σ_m Σ_u a_nmu V_mu, with a signed weight for every context position
m and copy u (intra-depth), a head:

    a_nmu = q_n·K̄_mu + q_n·E_{m−n,u}        (content + position)

because λc = Σ K̄_mu V_muᵀ and λp_n = Σ E_{m−n,u} V_muᵀ (Bello 2021, arXiv 2102.08602, sec. 3.1) are linear in V.

    >>> with capture_lambdas(model) as record:
    ...     model(pictures)
    >>> weights = implied_attention(record["stages.0.0.residual.spatial"], picture=0, head=0, pixel=(3, 4))
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lambdalab.captured import Captured, Pixel, precise, window_of
from lambdalab.errors import UserError, did_you_mean
from lambdalab.readings import lambda_layers, on_output, read_layer


class Implied(NamedTuple):
    """Signed weights on the context, (…, u, H, W); a part that is switched off is zeros."""

    content: Tensor
    position: Tensor
    total: Tensor

    @property
    def summed(self) -> "Implied":
        """The same with the copies u summed over, (…, H, W), for drawing."""
        return Implied(*(part.sum(dim=-3) for part in self))


class Record:
    """What the chosen layers did in the last forward pass: ``record.layers`` names them, ``record[name]`` has it."""

    def __init__(self, layers: Sequence[str]):
        self.layers = tuple(layers)
        self.captured: dict[str, Captured] = {}

    def __getitem__(self, name: str) -> Captured:
        """Return one layer's ``Captured``.

        Raises:
            UserError: if the layer was not recorded, or no forward pass has reached it.
        """
        check_names([name], self.layers)
        if name not in self.captured:
            raise UserError(f"nothing is recorded of layer '{name}' yet; call model(pictures) inside the with block")
        return self.captured[name]


@contextmanager
def capture_lambdas(
    model: nn.Module, layers: Sequence[str] | None = None, device: str = "cpu", dtype: torch.dtype | None = None
) -> Iterator[Record]:
    """Record what lambda layers do: each forward pass inside the block replaces the record, which outlives the block.

    The model computes as ever, in any mode, with or without gradients; its batch-norm statistics change as they would
    without recording. What is recorded has no gradients.

    Args:
        model: any model with a ``LambdaLayer``, the community code's layer or timm's.
        layers: names of lambda layers, as ``record.layers`` has them; ``None``: all.
        device: where to keep the record.
        dtype: how to keep it, such as ``torch.float16`` to save memory; ``None``: as computed.

    Raises:
        UserError: if the model has no lambda layer, or none of a given name.
    """
    chosen = choose_layers(model, layers)
    record = Record(list(chosen))
    handles = [model.register_forward_pre_hook(lambda module, inputs: record.captured.clear())]
    try:
        for name, layer in chosen.items():
            handles += on_output(layer, _recorder(record, name, layer, device, dtype))
        yield record
    finally:
        for handle in handles:
            handle.remove()


def implied_attention(captured: Captured, picture: int, head: int, pixel: Pixel) -> Implied:
    """Return one query's weights on its context, a_nmu = q_n·K̄_mu + q_n·E_{m−n,u}, by part, each (u, H, W).

    Σ_mu total[u, m] · values[m, u] is the layer's output at this pixel (plus q_n·bias where the layer has a bias).

    Args:
        captured: one layer's record.
        picture: which picture of the batch.
        head: which head.
        pixel: the query, (row, column) in the layer's map.

    Raises:
        UserError: if there is no such picture, head or pixel.
    """
    captured.check_query(picture, head)
    n = captured.index(pixel)
    query = precise(captured.queries[picture, head, n])
    position = torch.einsum("k,kuyx->uyx", query, window_of(captured.offsets(), captured.size, n))
    content = torch.zeros_like(position)
    if captured.keys is not None:
        content = torch.einsum("k,muk->um", query, precise(captured.keys[picture])).unflatten(1, captured.size)
    return Implied(content, position, content + position)


def implied_tiles(captured: Captured, picture: int, head: int | None = None) -> Iterator[tuple[slice, Implied]]:
    """Yield the weights of all queries, a row of the map at a time: their n, and each part (W, u, H, W).

    A tile has W·u·H·W numbers, the whole H times as many. With ``head=None`` all heads at once, (h, W, u, H, W).

    Raises:
        UserError: if there is no such picture or head.
    """
    captured.check_query(picture, 0 if head is None else head)
    height, width = captured.size
    queries = precise(captured.queries[picture] if head is None else captured.queries[picture, head])
    keys = None if captured.keys is None else precise(captured.keys[picture])
    table = captured.offsets()
    for row in range(height):
        tile = slice(row * width, (row + 1) * width)
        # Every query of the row meets the same rows of the table, and H×W of it begin at another column for each.
        wide = torch.einsum(
            "...nk,kuyx->...nuyx", queries[..., tile, :], table[:, :, height - 1 - row : 2 * height - 1 - row]
        )
        starts = range(width - 1, -1, -1)
        position = torch.stack([wide[..., n, :, :, start : start + width] for n, start in enumerate(starts)], dim=-4)
        content = torch.zeros_like(position)
        if keys is not None:
            content = torch.einsum("...nk,muk->...num", queries[..., tile, :], keys).unflatten(-1, captured.size)
        yield tile, Implied(content, position, content + position)


def implied_maps(captured: Captured, picture: int, head: int) -> Implied:
    """Return the weights of every query on its context, each part (n, H, W), the copies u summed over.

    Computed a row of queries at a time; the result has n² numbers a part. ``implied_tiles`` keeps none of them.

    Raises:
        UserError: if there is no such picture or head.
    """
    tiles = [tile.summed for _, tile in implied_tiles(captured, picture, head)]
    return Implied(*(torch.cat(part) for part in zip(*tiles, strict=True)))


def choose_layers(model: nn.Module, layers: Sequence[str] | str | None = None) -> dict[str, nn.Module]:
    """Return the lambda layers of a model that are asked for, by name, in the network's order; ``None``: all.

    Raises:
        UserError: if the model has no lambda layer, or none of a given name.
    """
    found = lambda_layers(model)
    if not found:
        raise UserError(f"this {type(model).__name__} has no lambda layer; give a model of list_models('lambda_*')")
    names = list(found) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    check_names(names, list(found))
    return {name: layer for name, layer in found.items() if name in names}


def check_names(names: Sequence[str], allowed: Sequence[str]) -> None:
    """Refuse names that are no recorded layers.

    Raises:
        UserError: with the closest name there is.
    """
    for name in names:
        if name not in allowed:
            near, shown = did_you_mean(name, list(allowed)), ", ".join(allowed[:3]) + ", …" * (len(allowed) > 3)
            raise UserError(f"no lambda layer '{name}'{near}; there are {shown}")


def _recorder(record: Record, name: str, layer: nn.Module, device: str, dtype: torch.dtype | None) -> Callable:
    """Return what writes this layer's part of a forward pass into the record."""

    def keep(part: Tensor | None) -> Tensor | None:
        # A copy: the network may go on to change its output in place, and training its embeddings.
        return None if part is None else part.detach().to(device, dtype or part.dtype, copy=True)

    @torch.no_grad()
    def write(x: Tensor, y: Tensor) -> None:
        queries, keys, values, embedding, bias, scope = read_layer(layer, x)
        content = None if keys is None else torch.einsum("bmuk,bmuv->bkv", keys, values)
        output = y.reshape(y.shape[0], queries.shape[1], -1, queries.shape[2]).transpose(2, 3)
        parts = map(keep, (queries, keys, values, embedding, content, output))
        record.captured[name] = Captured(*parts, tuple(x.shape[2:]), scope, keep(bias))

    return write
