"""The position term with attention's order of the sums, tile by tile: first q·E, a tile of a signed map, then times V.

    y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}        instead of        y_n = λp_nᵀ q_n,  λp_n = Σ_m E_{m−n} V_mᵀ

The same sum (there is no softmax between the two products), for n·m·h·(k + v) multiply-adds instead of n·m·k·v, and
with no more memory than a tile of the map. A tile holds a block of queries, ``rows`` × ``columns`` pixels, against the
window of context that the scope lets them see. Since E depends on m − n alone, every block of the same form has the
same embeddings; blocks that share them are computed together: the same block of several pictures, or all blocks
below one another in one picture. Both products are then batched matrix products on contiguous memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Tiling(NamedTuple):
    """How the map is cut: a block's rows and columns, and how many blocks that share their embeddings go together."""

    rows: int
    columns: int
    share: str  # "pictures" or "rows": what the blocks of a tile are taken from
    together: int

    def __str__(self) -> str:
        return f"{self.rows}×{self.columns}, {self.together} {self.share} together"


class Strip(NamedTuple):
    """A column of ``count`` blocks below one another, and the columns of context that they see."""

    rows: int  # of one block
    top: int  # the first block's first row
    count: int
    left: int
    right: int
    first: int  # context columns
    last: int
    above: int  # context rows that a block can see, counted from its own first row
    below: int


class Tile(NamedTuple):
    """Blocks of one strip that are computed together; one of the two indices is a slice."""

    picture: int | slice
    block: int | slice
    above: int  # context rows of this tile, counted as in Strip
    below: int
    start: int  # row of the padded values at which the first window begins


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
    y = queries.new_empty(*queries.shape[:4], values.shape[4])
    for strip in strips(values.shape, embedding.shape, tiling):
        spread = spread_embedding(embedding, strip)[0]
        columns = strip_values(values, strip, tiling)
        q, out = strip_blocks(queries, strip), strip_blocks(y, strip)
        for tile in tiles(values.shape, strip, tiling):
            where = tile.picture, tile.block
            window, crop = windows(columns, strip, tile), map_columns(columns, strip, tile)
            signed_map = _map(q[where], spread[:, crop])
            s, rows, width, h, _ = q[where].shape
            signed_map = signed_map.view(rows * width * h, s, -1).transpose(0, 1)
            out[where] = torch.bmm(signed_map, window).view(s, rows, width, h, -1)
    return y


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; each tile of the map is computed anew."""
    grad = grad.contiguous()  # products of expanded gradients, as sums send them back, would go item by item
    grad_q, grad_v, grad_e = (torch.zeros_like(each) for each in (queries, values, embedding))
    for strip in strips(values.shape, embedding.shape, tiling):
        spread, scatter = spread_embedding(embedding, strip)
        columns = strip_values(values, strip, tiling)
        grad_columns, grad_spread = torch.zeros_like(columns), torch.zeros_like(spread)
        q, dy, dq = (strip_blocks(each, strip) for each in (queries, grad, grad_q))
        for tile in tiles(values.shape, strip, tiling):
            where = tile.picture, tile.block
            window, crop = windows(columns, strip, tile), map_columns(columns, strip, tile)
            dq[where], d_spread, d_window = _tile_gradients(dy[where], q[where], spread[:, crop], window)
            grad_spread[:, crop] += d_spread
            add_windows(grad_columns, d_window, strip, tile)
        padding = strip_padding(values.shape, strip, tiling)[0]
        inside = grad_columns[:, padding : padding + values.shape[1]]
        grad_v[:, :, strip.first : strip.last] += inside.unflatten(2, (-1, values.shape[3]))
        scatter(grad_e, grad_spread)
    return grad_q, grad_v, grad_e


def _map(q: Tensor, spread: Tensor) -> Tensor:
    """a = q·E for a tile: queries (s, rows, columns, h, k) → (rows·columns, h·s, context)."""
    s, rows, width, h, k = q.shape
    return torch.bmm(q.permute(1, 2, 3, 0, 4).reshape(rows * width, h * s, k), spread.transpose(1, 2))


def _tile_gradients(dy: Tensor, q: Tensor, spread: Tensor, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dV = aᵀ dy, da = dy Vᵀ, dq = da Eᵀ, dE = daᵀ q for a tile.

    A batched product must write contiguous memory, but may read strided memory: hence the two orders of dy.
    """
    s, rows, width, h, k = q.shape
    p, v = rows * width, window.shape[2]
    by_pixel = _map(q, spread).view(p * h, s, -1)
    d_window = torch.bmm(by_pixel.permute(1, 2, 0), dy.reshape(s, p * h, v))
    del by_pixel
    by_head = dy.permute(0, 3, 1, 2, 4).reshape(s, h * p, v)
    d_map = torch.bmm(by_head, window.transpose(1, 2)).view(s * h, p, -1).transpose(0, 1)  # (p, s·h, context)
    dq = torch.bmm(d_map, spread).view(rows, width, s, h, k).permute(2, 0, 1, 3, 4)
    d_spread = torch.bmm(d_map.transpose(1, 2), q.permute(1, 2, 0, 3, 4).reshape(p, s * h, k))
    return dq, d_spread, d_window


def strips(values: torch.Size, embedding: torch.Size, tiling: Tiling) -> Iterator[Strip]:
    """Cut the map into strips; where rows do not divide the height, a flat strip is left at the bottom."""
    height, width = values[1:3]
    reach_y, reach_x = embedding[2] // 2, embedding[3] // 2
    rows = min(tiling.rows, height)
    for size, top, count in ((rows, 0, height // rows), (height % rows, height - height % rows, 1)):
        for left in range(0, width, tiling.columns) if size else ():
            right = min(width, left + tiling.columns)
            last = top + (count - 1) * size
            yield Strip(
                *(size, top, count, left, right, max(0, left - reach_x), min(width, right + reach_x)),
                above=max(-reach_y, -last),
                below=min(size + reach_y, height - top),
            )


def tiles(values: torch.Size, strip: Strip, tiling: Tiling) -> Iterator[Tile]:
    """Go through a strip in tiles; each sees only the context rows that one of its blocks has."""
    pictures, height = values[:2]
    by_rows = tiling.share == "rows"
    above_all = strip_padding(values, strip, tiling)[0]
    for begin in range(0, strip.count, tiling.together if by_rows else 1):
        end = min(strip.count, begin + tiling.together) if by_rows else begin + 1
        row, last = (strip.top + index * strip.rows for index in (begin, end - 1))
        above, below = max(strip.above, -last), min(strip.below, height - row)
        for picture in range(0, pictures, 1 if by_rows else tiling.together):
            which = (picture, slice(begin, end)) if by_rows else (slice(picture, picture + tiling.together), begin)
            yield Tile(*which, above, below, row + above + above_all)


def strip_padding(values: torch.Size, strip: Strip, tiling: Tiling) -> tuple[int, int]:
    """Rows of zeros above and below the picture, for blocks that share a window with others further inside."""
    if tiling.share != "rows":
        return 0, 0
    spare = (min(tiling.together, strip.count) - 1) * strip.rows
    return min(spare, max(0, -strip.above)), min(spare, max(0, strip.below - strip.rows))


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
    """Add the gradients of a tile's windows to the columns': row by row, since windows in one picture overlap."""
    width, v = grad_columns.shape[2:]
    height = tile.below - tile.above
    if not isinstance(tile.block, slice):
        grad_columns[tile.picture, tile.start : tile.start + height] += d_window.view(-1, height, width, v)
        return
    size = d_window.shape[0]
    for row, gradient in enumerate(d_window.view(size, height, width, v).unbind(1), tile.start):
        grad_columns[tile.picture, row : row + strip.rows * (size - 1) + 1 : strip.rows] += gradient


def spread_embedding(embedding: Tensor, strip: Strip):
    """Spread E over a block's queries p and its window's context: (p, context·u, k), and how to add gradients back."""
    k, u, r_y, r_x = embedding.shape
    device = embedding.device
    query = [torch.arange(size, device=device) for size in (strip.rows, strip.right - strip.left)]
    context = (
        torch.arange(strip.above, strip.below, device=device),
        torch.arange(strip.first - strip.left, strip.last - strip.left, device=device),
    )
    dy, dx = (c - q[:, None] + r // 2 for q, c, r in zip(query, context, (r_y, r_x), strict=True))
    inside = ((dy >= 0) & (dy < r_y))[:, None, :, None] & ((dx >= 0) & (dx < r_x))[None, :, None, :]
    index = (dy[:, None, :, None] * r_x + dx[None, :, None, :]).masked_fill(~inside, r_y * r_x)
    index = index.reshape(len(query[0]) * len(query[1]), -1)
    # One more row, of zeros, stands for every offset outside the scope.
    table = F.pad(embedding.permute(2, 3, 1, 0).reshape(r_y * r_x, u * k), (0, 0, 0, 1))

    def scatter(grad_embedding: Tensor, gradient: Tensor) -> None:
        grad_table = torch.zeros_like(table).index_add_(0, index.flatten(), gradient.reshape(-1, u * k))
        grad_embedding += grad_table[:-1].view(r_y, r_x, u, k).permute(3, 2, 0, 1)

    return table.index_select(0, index.flatten()).view(index.shape[0], -1, k), scatter
