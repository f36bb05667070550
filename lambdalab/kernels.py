"""The position term on a GPU, in Triton: attention's order of the sums with no map in memory at all.

    y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}

A program has P pixels side by side, one or a few. Row by row of their window it multiplies their h queries with the
row's embeddings, a small product of tensor cores, and what comes out with the row's values, another: the map stays in
registers, and what neighbours read again comes from the caches. In the backward pass the map is computed anew, in one
kernel for each gradient, so that none adds to memory that others write: for dV a program has pixels of the context,
and looks back at the queries that see them.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lambdalab.cuts import Tiling

GROUPS = 128  # of P pixels, whose gradients of E a program adds up
# Measured on an H200 to be the quickest: at most so many pixels side by side, for dV too, and channels of dV at once.
BESIDE, BESIDE_BACK, CHANNELS_BACK = 2, 1, 32
STAGES, STAGES_BACK = 1, 1  # one: embeddings and windows are read through the first cache, which has most of them


def position_term(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Return y_n = Σ_m (q_n·E_{m−n}) V_m for the offsets m − n in the embedding's window.

    Multiply-adds: n·m·u·h·(k + v), with m the window's pixels, and what it takes to fill the tiles of tensor cores.
    Memory: none but the result.

    Args:
        queries: (b, H, W, h, k).
        values: (b, H, W, u, v).
        embedding: (k, u, r_y, r_x), odd.
        tiling: ignored.

    Returns:
        (b, H, W, h, v).
    """
    queries, values, table = queries.contiguous(), values.contiguous(), _table(embedding)
    y = queries.new_empty(*queries.shape[:4], values.shape[4])
    sizes, blocks = _sizes(queries, values, embedding), _blocks(queries, values, embedding)
    grid = _groups(queries, blocks["P"]), triton.cdiv(values.shape[4], blocks["V"])
    _forward[grid](queries, values, table, y, **sizes, **blocks, num_warps=_warps(blocks), num_stages=STAGES)
    return y


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; the map is computed anew."""
    grad, queries, values, table = grad.contiguous(), queries.contiguous(), values.contiguous(), _table(embedding)
    grad_q, grad_v = torch.empty_like(queries), torch.empty_like(values)
    sizes, blocks = _sizes(queries, values, embedding), _blocks(queries, values, embedding)
    groups, warps = _groups(queries, blocks["P"]), _warps(blocks)
    _queries_gradient[groups,](grad, values, table, grad_q, **sizes, **blocks, num_warps=warps, num_stages=STAGES)

    k, u, r_y, r_x = embedding.shape
    chunks = triton.cdiv(groups, GROUPS)
    parts = grad.new_zeros(chunks, blocks["P"], r_y, r_x * u, k, dtype=torch.float32)
    grid = r_y, chunks
    options = {**sizes, **blocks, "num_warps": warps, "num_stages": STAGES}
    _embedding_gradient[grid](grad, queries, values, parts, groups, GROUPS=GROUPS, **options)
    grad_e = parts.sum((0, 1)).view(r_y, r_x, u, k).permute(3, 2, 0, 1)

    back = _blocks_back(queries, values, embedding)
    grid = _groups(queries, back["P"]), triton.cdiv(values.shape[4], back["V"])
    warps = 1 if back["D"] * back["U"] * back["JQ"] <= 1024 else 4
    _values_gradient[grid](grad, queries, table, grad_v, **sizes, **back, num_warps=warps, num_stages=STAGES_BACK)
    return grad_q, grad_v, grad_e.to(embedding.dtype)


def _table(embedding: Tensor) -> Tensor:
    """E as rows of k, (r_y, r_x, u, k)."""
    return embedding.permute(2, 3, 1, 0).contiguous()


def _power(number: int, least: int = 16) -> int:
    """The next power of 2; a side of a tensor core's tile is 16."""
    return max(least, triton.next_power_of_2(number))


def _sizes(queries: Tensor, values: Tensor, embedding: Tensor) -> dict[str, int]:
    """The numbers that all kernels are compiled for."""
    (_, height, width, h, k), (u, v), (r_y, r_x) = queries.shape, values.shape[3:], embedding.shape[2:]
    return {"height": height, "width": width, "h": h, "k": k, "u": u, "v": v, "r_y": r_y, "r_x": r_x}


def _beside(r_x: int, each: int, most: int, width: int) -> int:
    """How many pixels fit into the tile that one needs, with ``each`` entries for each column of their window."""
    sizes = [p for p in (1, 2, 4, 8) if p <= min(most, width) and _power((p + r_x - 1) * each) == _power(r_x * each)]
    return sizes[-1]


def _blocks(queries: Tensor, values: Tensor, embedding: Tensor) -> dict[str, int]:
    """The sides of the tiles: P pixels, ROWS of queries, J entries of a window's row, K and V channels."""
    (_, _, width, h, k), (u, v), r_x = queries.shape, values.shape[3:], embedding.shape[3]
    pixels = _beside(r_x, u, min(BESIDE, max(1, 16 // h)), width)
    return {"P": pixels, "ROWS": 16, "J": _power(r_x * u), "K": _power(k), "V": min(64, _power(v))}


def _blocks_back(queries: Tensor, values: Tensor, embedding: Tensor) -> dict[str, int]:
    """The same for dV: U copies of D offsets, JQ queries of a window's row."""
    (_, _, width, h, k), (u, v), r_x = queries.shape, values.shape[3:], embedding.shape[3]
    copies, offsets = _power(u, 1), _power(r_x, 1)
    offsets *= max(1, 16 // (copies * offsets))
    shape = {"P": _beside(r_x, h, BESIDE_BACK, width), "JQ": _power(r_x * h), "U": copies, "D": offsets}
    return {**shape, "K": _power(k), "V": min(CHANNELS_BACK, _power(v))}


def _groups(queries: Tensor, pixels: int) -> int:
    """Programs for all pixels: in a row ⌈W/P⌉."""
    b, height, width = queries.shape[:3]
    return b * height * triton.cdiv(width, pixels)


def _warps(blocks: dict[str, int]) -> int:
    return 1 if blocks["J"] * max(blocks["K"], blocks["V"]) <= 2048 else 4


@triton.jit
def _group(group, height: tl.constexpr, width: tl.constexpr, P: tl.constexpr):
    """A group's first pixel, counted through all pictures, and its column and row."""
    across: tl.constexpr = (width + P - 1) // P
    x, line = group % across * P, group // across
    return line * width + x, x, line % height


@triton.jit
def _seen(
    x, row, dy, j,
    height: tl.constexpr, width: tl.constexpr, each: tl.constexpr,
    r_y: tl.constexpr, r_x: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Which entries j there are of row dy of a group's window, ``each`` for each column."""
    column, line = x - r_x // 2 + j // each, row + dy - r_y // 2
    entries = tl.where((line >= 0) & (line < height), (P + r_x - 1) * each, 0)
    return (j < entries) & (column >= 0) & (column < width)


@triton.jit
def _own(r, x, width: tl.constexpr, h: tl.constexpr, P: tl.constexpr):
    """Which rows r are queries of the group, h for each pixel."""
    return (r < h * P) & (r // h < width - x)


# One product with all embeddings would need other ones for each of the P pixels: an entry j of the window is at another
# offset from each. So depth is repeated, (pixel, k), and a query is zero but at its own pixel's.


@triton.jit
def _queries(q, n, own, r, deep, h: tl.constexpr, k: tl.constexpr, K: tl.constexpr):
    """A group's queries, by rows r and repeated depth, in the axes' order."""
    mine = own & (r // h == deep // K) & (deep % K < k)
    return tl.load(q + (n * h + r) * k + deep % K, mask=mine, other=0.0)


@triton.jit
def _embeddings(e, dy, j, deep, k: tl.constexpr, u: tl.constexpr, r_x: tl.constexpr, K: tl.constexpr):
    """Row dy of the embeddings, by entries j of the group's window and repeated depth, in the axes' order."""
    entry = j - deep // K * u
    known = (entry >= 0) & (entry < r_x * u) & (deep % K < k)
    return tl.load(e + (dy * r_x * u + entry) * k + deep % K, mask=known, other=0.0)


@triton.jit
def _forward(
    q, v_, e, y,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    P: tl.constexpr, ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    n, x, row = _group(tl.program_id(0), height, width, P)
    r, j, deep = tl.arange(0, ROWS), tl.arange(0, J), tl.arange(0, P * K)
    out = tl.program_id(1) * V + tl.arange(0, V)
    own = _own(r, x, width, h, P)
    queries = _queries(q, n, own[:, None], r[:, None], deep[None, :], h, k, K)
    total = tl.zeros((ROWS, V), dtype=tl.float32)
    for dy in range(0, r_y):
        signed_map = tl.dot(queries, _embeddings(e, dy, j[None, :], deep[:, None], k, u, r_x, K))
        there = _seen(x, row, dy, j, height, width, u, r_y, r_x, P)
        first = (n + (dy - r_y // 2) * width - r_x // 2) * u
        where = v_ + (first + j[:, None]) * v + out[None, :]
        context = tl.load(where, mask=there[:, None] & (out[None, :] < v), other=0.0)
        total = tl.dot(signed_map.to(context.dtype), context, total)
    tl.store(y + (n * h + r[:, None]) * v + out[None, :], total, mask=own[:, None] & (out[None, :] < v))


@triton.jit
def _map_gradient(
    grad, v_, n, x, row, dy, own, r, j,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    P: tl.constexpr, ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """da = dy Vᵀ for a group and row dy of its window, (ROWS, J)."""
    there = _seen(x, row, dy, j, height, width, u, r_y, r_x, P)
    first = (n + (dy - r_y // 2) * width - r_x // 2) * u
    total = tl.zeros((ROWS, J), dtype=tl.float32)
    for begin in range(0, v, V):
        out = begin + tl.arange(0, V)
        where = grad + (n * h + r[:, None]) * v + out[None, :]
        d_y = tl.load(where, mask=own[:, None] & (out[None, :] < v), other=0.0)
        where = v_ + (first + j[None, :]) * v + out[:, None]
        total = tl.dot(d_y, tl.load(where, mask=there[None, :] & (out[:, None] < v), other=0.0), total)
    return total


@triton.jit
def _queries_gradient(
    grad, v_, e, grad_q,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    P: tl.constexpr, ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dq = da Eᵀ."""
    n, x, row = _group(tl.program_id(0), height, width, P)
    r, j, deep = tl.arange(0, ROWS), tl.arange(0, J), tl.arange(0, P * K)
    own = _own(r, x, width, h, P)
    total = tl.zeros((ROWS, P * K), dtype=tl.float32)
    for dy in range(0, r_y):
        d_map = _map_gradient(grad, v_, n, x, row, dy, own, r, j, height, width, h, k, u, v, r_y, r_x, P, ROWS, J, K, V)
        rows = _embeddings(e, dy, j[:, None], deep[None, :], k, u, r_x, K)
        total = tl.dot(d_map.to(rows.dtype), rows, total)
    mine = own[:, None] & (r[:, None] // h == deep[None, :] // K) & (deep[None, :] % K < k)
    tl.store(grad_q + (n * h + r[:, None]) * k + deep[None, :] % K, total, mask=mine)


@triton.jit
def _embedding_gradient(
    grad, q, v_, parts, groups,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    GROUPS: tl.constexpr, P: tl.constexpr, ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dE = daᵀ q for row dy of the window, over ``GROUPS`` groups."""
    dy, chunk = tl.program_id(0), tl.program_id(1)
    r, j, deep = tl.arange(0, ROWS), tl.arange(0, J), tl.arange(0, P * K)
    total = tl.zeros((P * K, J), dtype=tl.float32)
    for group in range(chunk * GROUPS, min(groups, (chunk + 1) * GROUPS)):
        n, x, row = _group(group, height, width, P)
        own = _own(r, x, width, h, P)
        d_map = _map_gradient(grad, v_, n, x, row, dy, own, r, j, height, width, h, k, u, v, r_y, r_x, P, ROWS, J, K, V)
        queries = _queries(q, n, own[None, :], r[None, :], deep[:, None], h, k, K)
        total = tl.dot(queries, d_map.to(queries.dtype), total)
    place, entry = deep[:, None] // K, j[None, :] - deep[:, None] // K * u
    where = parts + (((chunk * P + place) * r_y + dy) * r_x * u + entry) * k + deep[:, None] % K
    tl.store(where, total, mask=(entry >= 0) & (entry < r_x * u) & (deep[:, None] % K < k))


@triton.jit
def _values_gradient(
    grad, q, e, grad_v,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    P: tl.constexpr, JQ: tl.constexpr, U: tl.constexpr, D: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dV_m = Σ_n a_nm dy_n, for a group of pixels m, over the pixels n that see them.

    A product of a row's queries with all embeddings of a row of the window has what is wanted on a diagonal: the
    query's column and the offset must add up to m's. The rest is set to zero before the second product.
    """
    m, x, row = _group(tl.program_id(0), height, width, P)
    depth, j, jq = tl.arange(0, K), tl.arange(0, P * U * D), tl.arange(0, JQ)
    out = tl.program_id(1) * V + tl.arange(0, V)
    place, copy, dx = j // (U * D), j // D % U, j % D
    known = ((copy < u) & (dx < r_x))[:, None] & (depth[None, :] < k)
    wanted = dx[:, None] + jq[None, :] // h == r_x - 1 + place[:, None]
    total = tl.zeros((P * U * D, V), dtype=tl.float32)
    for dy in range(0, r_y):
        rows = tl.load(e + ((dy * r_x + dx[:, None]) * u + copy[:, None]) * k + depth[None, :], mask=known, other=0.0)
        there = _seen(x, row, r_y - 1 - dy, jq, height, width, h, r_y, r_x, P)
        first = (m + (r_y // 2 - dy) * width - r_x // 2) * h
        seeing = there[None, :] & (depth[:, None] < k)
        queries = tl.load(q + (first + jq[None, :]) * k + depth[:, None], mask=seeing, other=0.0)
        signed_map = tl.where(wanted, tl.dot(rows, queries), 0.0)
        where = grad + (first + jq[:, None]) * v + out[None, :]
        d_y = tl.load(where, mask=there[:, None] & (out[None, :] < v), other=0.0)
        total = tl.dot(signed_map.to(d_y.dtype), d_y, total)
    summed = tl.sum(tl.reshape(total, (P * U, D, V)), axis=1)
    line = tl.arange(0, P * U)[:, None]
    there = (line % U < u) & (line // U < width - x) & (out[None, :] < v)
    tl.store(grad_v + ((m + line // U) * u + line % U) * v + out[None, :], summed, mask=there)
