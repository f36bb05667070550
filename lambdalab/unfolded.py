"""The position term with attention's order of the sums, all blocks of many pictures at once: for a GPU.

The same products as in ``tiles``, which goes through a picture strip by strip so that little is copied and all of it
stays in a core's cache. A GPU would spend its time on starting them. Here the map is cut into equal blocks of queries,
each has its window of context copied out, zeros outside of the picture included, and since E depends on offsets alone,
one set of embeddings serves every block of every picture: two batched products for all of them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.cuts import Tiling
from lambdalab.tiles import Scratch, map_of, spread_embedding, tile_gradients


def position_term(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Return y_n = Σ_m (q_n·E_{m−n}) V_m for the offsets m − n in the embedding's window.

    Multiply-adds: n·w·u·h·(k + v), with w pixels in a block's window. Memory: w/p copies of the values, p pixels in a
    block, and their map, both for as many pictures as go together.

    Args:
        queries: (b, H, W, h, k).
        values: (b, H, W, u, v).
        embedding: (k, u, r_y, r_x), odd.
        tiling: how to cut the map.

    Returns:
        (b, H, W, h, v).
    """
    y, scratch = queries.new_empty(*queries.shape[:4], values.shape[4]), Scratch(queries)
    spread = spread_block(embedding, tiling)[0]
    for some in range(0, len(values), tiling.together):
        some = slice(some, some + tiling.together)
        blocks, context = cut_blocks(queries[some], tiling), cut_windows(values[some], embedding, tiling)
        signed_map = map_of(blocks, spread, scratch)
        s, rows, columns, h, _ = blocks.shape
        by_block = signed_map.view(rows * columns * h, s, -1).transpose(0, 1)
        product = torch.bmm(by_block, context.view(s, -1, values.shape[4]))
        y[some] = join_blocks(product.view(s, rows, columns, h, -1), y[some].shape)
    return y


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; the map is computed anew."""
    grad_q, grad_v, grad_e = torch.empty_like(queries), torch.empty_like(values), torch.zeros_like(embedding)
    spread, scatter = spread_block(embedding, tiling)
    scratch, v = Scratch(queries), values.shape[4]
    for some in range(0, len(values), tiling.together):
        some = slice(some, some + tiling.together)
        dy, q = (cut_blocks(each[some], tiling) for each in (grad, queries))
        context = cut_windows(values[some], embedding, tiling)
        gradients = tile_gradients(dy, q, spread, context.view(len(q), -1, v), scratch)
        grad_q[some] = join_blocks(gradients[0], grad_q[some].shape)
        scatter(grad_e, gradients[1])
        grad_v[some] = join_windows(gradients[2].view(context.shape), grad_v[some].shape, embedding, tiling)
    return grad_q, grad_v, grad_e


def spread_block(embedding: Tensor, tiling: Tiling):
    """``spread_embedding`` for a block and all that it sees."""
    ends = [(-(r // 2), size + r // 2) for size, r in zip(tiling[:2], embedding.shape[2:], strict=True)]
    return spread_embedding(embedding, tiling[:2], tuple(ends))


def spare(size: torch.Size, tiling: Tiling) -> tuple[int, int]:
    """Rows and columns of zeros that are missing to whole blocks."""
    return -size[1] % tiling.rows, -size[2] % tiling.columns


def cut_blocks(pixels: Tensor, tiling: Tiling) -> Tensor:
    """Cut (b, H, W, h, …) into (blocks, rows, columns, h, …)."""
    below, right = spare(pixels.shape, tiling)
    padded = F.pad(pixels, (0, 0, 0, 0, 0, right, 0, below)) if below or right else pixels
    cut = padded.unflatten(2, (-1, tiling.columns)).unflatten(1, (-1, tiling.rows))  # (b, Y, rows, X, columns, …)
    return cut.transpose(2, 3).flatten(0, 2)


def join_blocks(blocks: Tensor, size: torch.Size) -> Tensor:
    """Put the blocks together again, (b, H, W, h, …): what ``cut_blocks`` undoes."""
    _, rows, columns = blocks.shape[:3]
    below, right = -(-size[1] // rows), -(-size[2] // columns)
    joined = blocks.unflatten(0, (size[0], below, right)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return joined[:, : size[1], : size[2]]


def cut_windows(values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Copy out the windows of all blocks, zeros where they reach beyond the picture: (b, Y, X, rows, columns, u·v)."""
    (below, right), (r_y, r_x) = spare(values.shape, tiling), embedding.shape[2:]
    padding = (0, 0, r_x // 2, r_x // 2 + right, r_y // 2, r_y // 2 + below)
    padded = F.pad(values.flatten(3), padding)
    windows = padded.unfold(1, tiling.rows + r_y - 1, tiling.rows).unfold(2, tiling.columns + r_x - 1, tiling.columns)
    return windows.permute(0, 1, 2, 4, 5, 3).contiguous()


def join_windows(windows: Tensor, size: torch.Size, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Add up what belongs to one pixel in all windows: (b, Y, X, rows, columns, u·v) → values' (b, H, W, u, v)."""
    b, below, right, rows, columns, channels = windows.shape
    (height, width), (r_y, r_x) = size[1:3], embedding.shape[2:]
    flat = windows.new_zeros(b, below * tiling.rows + r_y - 1, right, columns, channels)
    for row in range(rows):
        flat[:, row : row + tiling.rows * (below - 1) + 1 : tiling.rows] += windows[:, :, :, row]
    joined = windows.new_zeros(b, flat.shape[1], right * tiling.columns + r_x - 1, channels)
    for column in range(columns):
        joined[:, :, column : column + tiling.columns * (right - 1) + 1 : tiling.columns] += flat[:, :, :, column]
    inside = joined[:, r_y // 2 : r_y // 2 + height, r_x // 2 : r_x // 2 + width]
    return inside.unflatten(3, (size[3], size[4]))
