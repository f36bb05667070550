"""The position term with attention's order of the sums, tile by tile: first q·E, a tile of a signed map, then times V.

    y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}        instead of        y_n = λp_nᵀ q_n,  λp_n = Σ_m E_{m−n} V_mᵀ

The same sum (there is no softmax between the two products), for n·m·h·(k + v) multiply-adds instead of n·m·k·v, and
with no more memory than a tile of the map. A tile holds a block of queries, ``rows`` × ``columns`` pixels, against the
window of context that the scope lets them see. Since E depends on m − n alone, every block of the same form has the
same embeddings; blocks that share them are computed together: the same block of several pictures, or all blocks
below one another in one picture. Both products are then batched matrix products on contiguous memory.
"""

from functools import lru_cache, partial
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.cuts import Strip, Tile, Tiling, strip_padding, strips, tiles


def position_term(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Return y_n = Σ_m (q_n·E_{m−n}) V_m for the offsets m − n in the embedding's window.

    Multiply-adds: n·m·u·h·(k + v), where m counts the window's columns and rows of a block, a little more than the
    scope's. Memory: one tile of the map.

    Args:
        queries: (b, H, W, h, k).
        values: (b, H, W, u, v).
        embedding: (k, u, r_y, r_x), odd.
        tiling: how to cut the map.

    Returns:
        (b, H, W, h, v).
    """
    y, scratch = queries.new_empty(*queries.shape[:4], values.shape[4]), Scratch(queries)
    for strip in strips(values.shape, embedding.shape, tiling):
        spread = spread_embedding(embedding, strip)[0]
        columns = strip_values(values, strip, tiling)
        q, out = strip_blocks(queries, strip), strip_blocks(y, strip)
        for tile in tiles(values.shape, strip, tiling):
            where = tile.picture, tile.block
            window, crop = windows(columns, strip, tile), map_columns(columns, strip, tile)
            signed_map = _map(q[where], spread[:, crop], scratch)
            s, rows, width, h, _ = q[where].shape
            by_pixel = signed_map.view(rows * width * h, s, -1).transpose(0, 1)
            whole = out[where].is_contiguous()
            product = (out[where].view if whole else partial(scratch, "y"))(s, rows * width * h, window.shape[2])
            _product(by_pixel, window, product, scratch)
            if not whole:
                out[where] = product.view(s, rows, width, h, -1)
    return y


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; each tile of the map is computed anew."""
    grad = grad.contiguous()  # products of expanded gradients, as sums send them back, would go item by item
    grad_q = torch.empty_like(queries)  # every query is in one block
    grad_v, grad_e = torch.zeros_like(values), torch.zeros_like(embedding)
    scratch = Scratch(queries)
    for strip in strips(values.shape, embedding.shape, tiling):
        spread, scatter = spread_embedding(embedding, strip)
        columns = strip_values(values, strip, tiling)
        grad_columns, grad_spread = torch.zeros_like(columns), torch.zeros_like(spread)
        q, dy, dq = (strip_blocks(each, strip) for each in (queries, grad, grad_q))
        for tile in tiles(values.shape, strip, tiling):
            where = tile.picture, tile.block
            window, crop = windows(columns, strip, tile), map_columns(columns, strip, tile)
            dq[where], d_spread, d_window = _tile_gradients(dy[where], q[where], spread[:, crop], window, scratch)
            grad_spread[:, crop] += d_spread
            add_windows(grad_columns, d_window, strip, tile)
        padding = strip_padding(values.shape, strip, tiling)[0]
        inside = grad_columns[:, padding : padding + values.shape[1]]
        grad_v[:, :, strip.first : strip.last] += inside.unflatten(2, (-1, values.shape[3]))
        scatter(grad_e, grad_spread)
    return grad_q, grad_v, grad_e


class Scratch:
    """Memory that every tile uses again: fresh memory costs a page fault for every 4 kB, more than the products."""

    def __init__(self, like: Tensor):
        self.like, self.kept, self.views = like, {}, {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Return memory of this name and shape, with what the last tile left in it."""
        if (name, shape) not in self.views:
            size = prod(shape)
            if name not in self.kept or self.kept[name].numel() < size:
                self.kept[name] = self.like.new_empty(size)
                self.views = {key: view for key, view in self.views.items() if key[0] != name}
            self.views[name, shape] = self.kept[name][:size].view(shape)
        return self.views[name, shape]

    def copy(self, name: str, source: Tensor) -> Tensor:
        """Return a contiguous copy."""
        return self(name, *source.shape).copy_(source)


def _map(q: Tensor, spread: Tensor, scratch: Scratch) -> Tensor:
    """a = q·E for a tile: queries (s, rows, columns, h, k) → (rows·columns, h·s, context)."""
    s, rows, width, h, k = q.shape
    by_pixel = scratch.copy("q", q.permute(1, 2, 3, 0, 4)).view(rows * width, h * s, k)
    signed_map = scratch("map", rows * width, h * s, spread.shape[1])
    return torch.bmm(by_pixel, spread.transpose(1, 2), out=signed_map)


def _tile_gradients(
    dy: Tensor, q: Tensor, spread: Tensor, window: Tensor, scratch: Scratch
) -> tuple[Tensor, Tensor, Tensor]:
    """dV = aᵀ dy, da = dy Vᵀ, dq = da Eᵀ, dE = daᵀ q for a tile.

    A batched product must write contiguous memory, but may read strided memory: hence the two orders of dy.
    """
    s, rows, width, h, k = q.shape
    (p, context, v) = rows * width, *window.shape[1:]
    by_pixel = _map(q, spread, scratch).view(p * h, s, -1)
    dy_by_pixel = (dy if dy.is_contiguous() else scratch.copy("dy", dy)).view(s, p * h, v)
    d_window = _product(by_pixel.permute(1, 2, 0), dy_by_pixel, scratch("window", s, context, v), scratch)
    dy_by_head = scratch.copy("dy", dy.permute(0, 3, 1, 2, 4)).view(s, h * p, v)
    d_map = torch.bmm(dy_by_head, window.transpose(1, 2), out=scratch("map", s, h * p, context))
    d_map = d_map.view(s * h, p, context).transpose(0, 1)
    dq = _product(d_map, spread, scratch("dq", p, s * h, k), scratch)
    q = scratch.copy("q", q.permute(1, 2, 0, 3, 4)).view(p, s * h, k)
    d_spread = _product(d_map.transpose(1, 2), q, scratch("spread", p, context, k), scratch)
    return dq.view(rows, width, s, h, k).permute(2, 0, 1, 3, 4), d_spread, d_window


def _product(a: Tensor, b: Tensor, out: Tensor, scratch: Scratch) -> Tensor:
    """ab (s, n, d) of a map a (s, n, c) and what it is applied to (s, c, d); where it is quicker as (bᵀaᵀ)ᵀ, so.

    On a processor few columns d that are no whole vectors took two to four times as long; and a map that is read down
    its columns twice as long, where its rows lie a multiple of 2 kB apart and so fall on few of the cache's sets.
    """
    (s, n, c), d = a.shape, b.shape[2]
    narrow = d % 16 and d < min(n, 64) and n >= 16  # turned round it has n columns
    aliased = a.stride(2) * a.itemsize % 2048 == 0
    if a.device.type != "cpu" or not (narrow or aliased) or c < 2 * d:  # of few sums, turning it round costs more
        return torch.bmm(a, b, out=out)
    turned = torch.bmm(b.transpose(1, 2), a.transpose(1, 2), out=scratch("turned", s, d, n))
    return out.copy_(turned.transpose(1, 2))


def strip_values(values: Tensor, strip: Strip, tiling: Tiling) -> Tensor:
    """The columns of the values that a strip sees, (b, padded rows, columns·u, v), contiguous."""
    columns = values[:, :, strip.first : strip.last].flatten(2, 3)
    return F.pad(columns, (0, 0, 0, 0, *strip_padding(values.shape, strip, tiling))).contiguous()


def strip_blocks(pixels: Tensor, strip: Strip) -> Tensor:
    """View the blocks of a strip of (b, H, W, …) as (b, count, rows, columns, …)."""
    inside = pixels[:, strip.top : strip.top + strip.rows * strip.count, strip.left : strip.right]
    return inside.unflatten(1, (strip.count, strip.rows))


def map_columns(columns: Tensor, strip: Strip, tile: Tile) -> slice:
    """Where a tile's context lies among all that its strip's embeddings were spread over."""
    return slice((tile.above - strip.above) * columns.shape[2], (tile.below - strip.above) * columns.shape[2])


def windows(columns: Tensor, strip: Strip, tile: Tile) -> Tensor:
    """View the windows of a tile's blocks, (blocks, context, v): rows of one picture overlap, nothing is copied."""
    b, padded, width, v = columns.shape
    context = (tile.below - tile.above) * width
    if isinstance(tile.block, slice):
        size, step, picture = tile.block.stop - tile.block.start, strip.rows, tile.picture
    else:
        picture, stop, _ = tile.picture.indices(b)
        size, step = stop - picture, padded
    start = (picture * padded + tile.start) * width * v
    return columns.as_strided((size, context, v), (step * width * v, v, 1), start)


def add_windows(grad_columns: Tensor, d_window: Tensor, strip: Strip, tile: Tile) -> None:
    """Add the gradients of a tile's windows to the columns'; windows in one picture overlap."""
    width, v = grad_columns.shape[2:]
    height = tile.below - tile.above
    if not isinstance(tile.block, slice):
        grad_columns[tile.picture, tile.start : tile.start + height] += d_window.view(-1, height, width, v)
        return
    rows = _window_rows(d_window.shape[0], strip.rows, height, d_window.device)
    below = grad_columns[tile.picture, tile.start :].flatten(1)
    below.index_add_(0, rows, d_window.view(-1, width * v))


@lru_cache(maxsize=256)
def _window_rows(windows: int, step: int, height: int, device: torch.device) -> Tensor:
    """The rows of windows that begin a step below one another, one window after the other."""
    return (step * torch.arange(windows, device=device)[:, None] + torch.arange(height, device=device)).flatten()


def spread_embedding(embedding: Tensor, strip: Strip):
    """Spread E over a block's queries p and its window's context: (p, context·u, k), and how to add gradients back."""
    k, u, r_y, r_x = embedding.shape
    width = strip.right - strip.left
    dy = _offsets(strip.rows, strip.above, strip.below, r_y, embedding.device)
    dx = _offsets(width, strip.first - strip.left, strip.last - strip.left, r_x, embedding.device)
    index = (dy[:, None, :, None] * (r_x + 1) + dx[None, :, None, :]).flatten()
    # One more row and column, of zeros, stand for every offset outside the scope.
    table = F.pad(embedding.permute(2, 3, 1, 0), (0, 0, 0, 0, 0, 1, 0, 1)).view(-1, u * k)

    def scatter(grad_embedding: Tensor, gradient: Tensor) -> None:
        grad_table = torch.zeros_like(table).index_add_(0, index, gradient.view(-1, u * k))
        grad_embedding += grad_table.view(r_y + 1, r_x + 1, u, k)[:-1, :-1].permute(3, 2, 0, 1)

    return table.index_select(0, index).view(strip.rows * width, -1, k), scatter


@lru_cache(maxsize=256)
def _offsets(queries: int, first: int, last: int, r: int, device: torch.device) -> Tensor:
    """The offset of each context from each query along an axis, (queries, last − first), in 0 … r − 1; r is outside."""
    context = torch.arange(first, last, device=device) - torch.arange(queries, device=device)[:, None] + r // 2
    return context.masked_fill((context < 0) | (context > r), r)
