"""The position term on a GPU, in Triton: attention's order of the sums with no map in memory at all.

    y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}

A program has one pixel. Row by row of its window it multiplies the pixel's h queries with the row's embeddings, one
small product of tensor cores, and what comes out with the row's values, another: the map stays in registers, and what
is read again by neighbours is read from the caches. From memory come q, V and dy once each, n·h·k + 2·n·u·v numbers.
In the backward pass the map is computed anew, in one kernel for each gradient, so that none has to add up into memory
that others write: for dV a program has a pixel of the context, and looks back at the queries that see it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lambdalab.cuts import Tiling

PIXELS = 256  # whose gradients of E a program adds up


def position_term(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Return y_n = Σ_m (q_n·E_{m−n}) V_m for the offsets m − n in the embedding's window.

    Multiply-adds: n·r·⌈r·u⌉·16·(k + v), with r·u and h rounded up to the tiles of tensor cores. Memory: the result.

    Args:
        queries: (b, H, W, h, k).
        values: (b, H, W, u, v).
        embedding: (k, u, r_y, r_x), odd.
        tiling: ignored; every pixel is a tile.

    Returns:
        (b, H, W, h, v).
    """
    queries, values, table = queries.contiguous(), values.contiguous(), _table(embedding)
    y = queries.new_empty(*queries.shape[:4], values.shape[4])
    sizes, blocks = _sizes(queries, values, embedding)
    grid = queries[..., 0, 0].numel(), triton.cdiv(values.shape[4], blocks["V"])
    _forward[grid](queries, values, table, y, *sizes, **blocks, num_warps=_warps(blocks))
    return y


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; the map is computed anew."""
    grad, queries, values, table = grad.contiguous(), queries.contiguous(), values.contiguous(), _table(embedding)
    grad_q, grad_v = torch.empty_like(queries), torch.empty_like(values)
    sizes, blocks = _sizes(queries, values, embedding)
    pixels, (k, u, r_y, r_x) = queries[..., 0, 0].numel(), embedding.shape
    chunks = triton.cdiv(pixels, PIXELS)
    parts = grad.new_empty(chunks, r_y, r_x * u, k, dtype=torch.float32)
    _queries_gradient[pixels,](grad, values, table, grad_q, *sizes, **blocks, num_warps=_warps(blocks))
    _embedding_gradient[r_y, chunks](
        grad, queries, values, parts, pixels, *sizes, PIXELS=PIXELS, **blocks, num_warps=_warps(blocks)
    )
    back = {"D": _power(r_x, 1), "U": _power(u, 1), "JQ": _power(r_x * queries.shape[3])}
    wide = max(16 // (back["D"] * back["U"]), 1)  # a tensor core's tile has 16 rows at least
    back["D"] *= wide
    _values_gradient[pixels, triton.cdiv(values.shape[4], blocks["V"])](
        grad, queries, table, grad_v, *sizes, K=blocks["K"], V=blocks["V"], **back, num_warps=_back_warps(back)
    )
    grad_e = parts.sum(0).view(r_y, r_x, u, k).permute(3, 2, 0, 1)
    return grad_q, grad_v, grad_e.to(embedding.dtype)


def _table(embedding: Tensor) -> Tensor:
    """E as rows of k, (r_y, r_x, u, k)."""
    return embedding.permute(2, 3, 1, 0).contiguous()


def _power(number: int, least: int = 16) -> int:
    return max(least, triton.next_power_of_2(number))


def _sizes(queries: Tensor, values: Tensor, embedding: Tensor) -> tuple[tuple[int, ...], dict[str, int]]:
    """The numbers that all kernels take, and their blocks."""
    (_, height, width, h, k), (u, v) = queries.shape, values.shape[3:]
    r_y, r_x = embedding.shape[2:]
    blocks = {"K": _power(k), "HEADS": _power(h), "J": _power(r_x * u), "V": min(64, _power(v))}
    return (height, width, h, k, u, v, r_y, r_x), blocks


def _warps(blocks: dict[str, int]) -> int:
    return 1 if blocks["J"] * max(blocks["K"], blocks["V"]) <= 2048 else 4


def _back_warps(back: dict[str, int]) -> int:
    return 1 if back["D"] * back["U"] * back["JQ"] <= 1024 else 4


@triton.jit
def _seen(
    x, row, dy, j,
    height: tl.constexpr, width: tl.constexpr, u: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
):  # fmt: skip
    """Of a window's row dy: where its context begins, counted from the pixel, and which of its entries j there are."""
    column, line = x - r_x // 2 + j // u, row + dy - r_y // 2
    entries = tl.where((line >= 0) & (line < height), r_x * u, 0)
    there = (j < entries) & (column >= 0) & (column < width)
    return ((dy - r_y // 2) * width - r_x // 2) * u, there


@triton.jit
def _forward(
    q, v_, e, y,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    K: tl.constexpr, HEADS: tl.constexpr, J: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0)
    x, row = n % width, n // width % height
    heads, depth, j = tl.arange(0, HEADS), tl.arange(0, K), tl.arange(0, J)
    out = tl.program_id(1) * V + tl.arange(0, V)
    own = (heads[:, None] < h) & (depth[None, :] < k)
    queries = tl.load(q + (n * h + heads[:, None]) * k + depth[None, :], mask=own, other=0.0)
    total = tl.zeros((HEADS, V), dtype=tl.float32)
    for dy in range(0, r_y):
        first, there = _seen(x, row, dy, j, height, width, u, r_y, r_x)
        known = (j[None, :] < r_x * u) & (depth[:, None] < k)
        rows = tl.load(e + (dy * r_x * u + j[None, :]) * k + depth[:, None], mask=known, other=0.0)
        signed_map = tl.dot(queries, rows)
        where = v_ + (n * u + first + j[:, None]) * v + out[None, :]
        context = tl.load(where, mask=there[:, None] & (out[None, :] < v), other=0.0)
        total += tl.dot(signed_map.to(context.dtype), context)
    tl.store(y + (n * h + heads[:, None]) * v + out[None, :], total, mask=(heads[:, None] < h) & (out[None, :] < v))


@triton.jit
def _map_gradient(
    grad, v_, n, first, there, heads, j,
    h: tl.constexpr, u: tl.constexpr, v: tl.constexpr, HEADS: tl.constexpr, J: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """da = dy Vᵀ for a pixel and a row of its window, (HEADS, J)."""
    total = tl.zeros((HEADS, J), dtype=tl.float32)
    for begin in range(0, v, V):
        out = begin + tl.arange(0, V)
        own = (heads[:, None] < h) & (out[None, :] < v)
        dy = tl.load(grad + (n * h + heads[:, None]) * v + out[None, :], mask=own, other=0.0)
        where = v_ + (n * u + first + j[None, :]) * v + out[:, None]
        total += tl.dot(dy, tl.load(where, mask=there[None, :] & (out[:, None] < v), other=0.0))
    return total


@triton.jit
def _queries_gradient(
    grad, v_, e, grad_q,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    K: tl.constexpr, HEADS: tl.constexpr, J: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dq = da Eᵀ."""
    n = tl.program_id(0)
    x, row = n % width, n // width % height
    heads, depth, j = tl.arange(0, HEADS), tl.arange(0, K), tl.arange(0, J)
    total = tl.zeros((HEADS, K), dtype=tl.float32)
    for dy in range(0, r_y):
        first, there = _seen(x, row, dy, j, height, width, u, r_y, r_x)
        d_map = _map_gradient(grad, v_, n, first, there, heads, j, h, u, v, HEADS, J, V)
        known = (j[:, None] < r_x * u) & (depth[None, :] < k)
        rows = tl.load(e + (dy * r_x * u + j[:, None]) * k + depth[None, :], mask=known, other=0.0)
        total += tl.dot(d_map.to(rows.dtype), rows)
    own = (heads[:, None] < h) & (depth[None, :] < k)
    tl.store(grad_q + (n * h + heads[:, None]) * k + depth[None, :], total, mask=own)


@triton.jit
def _embedding_gradient(
    grad, q, v_, parts, pixels,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    PIXELS: tl.constexpr,
    K: tl.constexpr, HEADS: tl.constexpr, J: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dE = daᵀ q for a row of the window, over ``PIXELS`` pixels."""
    dy, chunk = tl.program_id(0), tl.program_id(1)
    heads, depth, j = tl.arange(0, HEADS), tl.arange(0, K), tl.arange(0, J)
    total = tl.zeros((K, J), dtype=tl.float32)
    for n in range(chunk * PIXELS, min(pixels, (chunk + 1) * PIXELS)):
        x, row = n % width, n // width % height
        first, there = _seen(x, row, dy, j, height, width, u, r_y, r_x)
        d_map = _map_gradient(grad, v_, n, first, there, heads, j, h, u, v, HEADS, J, V)
        own = (heads[None, :] < h) & (depth[:, None] < k)
        queries = tl.load(q + (n * h + heads[None, :]) * k + depth[:, None], mask=own, other=0.0)
        total += tl.dot(queries, d_map.to(queries.dtype))
    where = parts + ((chunk * r_y + dy) * r_x * u + j[None, :]) * k + depth[:, None]
    tl.store(where, total, mask=(j[None, :] < r_x * u) & (depth[:, None] < k))


@triton.jit
def _values_gradient(
    grad, q, e, grad_v,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    K: tl.constexpr, V: tl.constexpr, D: tl.constexpr, U: tl.constexpr, JQ: tl.constexpr,
):  # fmt: skip
    """dV_m = Σ_n a_nm dy_n, for a pixel m, over the pixels n that see it.

    A product of the row's queries with all embeddings of a row of the window has what is wanted on a diagonal: the
    query's column and the offset must add up to m's. The rest is set to zero before the second product.
    """
    m = tl.program_id(0)
    x, row = m % width, m // width % height
    depth, j, jq = tl.arange(0, K), tl.arange(0, U * D), tl.arange(0, JQ)
    out = tl.program_id(1) * V + tl.arange(0, V)
    copy, dx = j // D, j % D
    column = x - r_x // 2 + jq // h
    total = tl.zeros((U * D, V), dtype=tl.float32)
    for dy in range(0, r_y):
        line = row - dy + r_y // 2
        entries = tl.where((line >= 0) & (line < height), r_x * h, 0)
        there = (jq < entries) & (column >= 0) & (column < width)
        first = (m + (r_y // 2 - dy) * width - r_x // 2) * h
        known = (copy[:, None] < u) & (dx[:, None] < r_x) & (depth[None, :] < k)
        rows = tl.load(e + ((dy * r_x + dx[:, None]) * u + copy[:, None]) * k + depth[None, :], mask=known, other=0.0)
        own = there[None, :] & (depth[:, None] < k)
        queries = tl.load(q + (first + jq[None, :]) * k + depth[:, None], mask=own, other=0.0)
        signed_map = tl.dot(rows, queries)
        signed_map = tl.where(dx[:, None] + jq[None, :] // h == r_x - 1, signed_map, 0.0)
        where = grad + (first + jq[:, None]) * v + out[None, :]
        dy_row = tl.load(where, mask=there[:, None] & (out[None, :] < v), other=0.0)
        total += tl.dot(signed_map.to(dy_row.dtype), dy_row)
    summed = tl.sum(tl.reshape(total, (U, D, V)), axis=1)
    copies = tl.arange(0, U)
    where = grad_v + (m * u + copies[:, None]) * v + out[None, :]
    tl.store(where, summed, mask=(copies[:, None] < u) & (out[None, :] < v))
