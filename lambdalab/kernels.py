"""The position term on a GPU, in Triton: attention's order of the sums with no map in memory at all.

    y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}

A program has one pixel. Row by row of its window it multiplies the pixel's h queries with the row's embeddings, a small
product of tensor cores, and what comes out with the row's values, another: the map stays in registers, and what
neighbours read again comes from the caches. In the backward pass the map is computed anew, in one kernel for each
gradient, so that none adds to memory that others write: for dV a program has pixels of the context, and looks back at
the queries that see them. Tiles of tensor cores have 16 rows: h = 4 fills a quarter of one, and it is the quickest
order all the same, since the others write the map, or the lambdas, to memory and read them back.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lambdalab.cuts import Tiling

# Of those tried on an H200 (bfloat16, k = 16, h = 4, u = 4, scope 7) the quickest.
STAGES, STAGES_BACK = 3, 1  # rows of the window that are read ahead; for dV none
PIXELS = 128  # whose gradients of E a program adds up
BESIDE, CHANNELS = 2, 32  # pixels side by side and value channels of a program for dV


def position_term(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Return y_n = Σ_m (q_n·E_{m−n}) V_m for the offsets m − n in the embedding's window.

    Multiply-adds: n·m·u·h·(k + v), with m the window's pixels, and what it takes to fill the tiles of tensor cores.
    Memory: none but the result.

    Args:
        queries: (b, H, W, h, k).
        values: (b, H, W, u, v).
        embedding: (k, u, r_y, r_x), odd.
        tiling: not used: there are no tiles.

    Returns:
        (b, H, W, h, v).
    """
    queries, values, table = queries.contiguous(), values.contiguous(), _table(embedding)
    y = queries.new_empty(*queries.shape[:4], values.shape[4])
    options = _options(queries, values, embedding)
    grid = queries[..., 0, 0].numel(), triton.cdiv(values.shape[4], options["V"])
    _forward[grid](queries, values, table, y, **options)
    return y


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; the map is computed anew."""
    grad, queries, values, table = grad.contiguous(), queries.contiguous(), values.contiguous(), _table(embedding)
    grad_q, grad_v = torch.empty_like(queries), torch.empty_like(values)
    options, (k, u, r_y, r_x) = _options(queries, values, embedding), embedding.shape
    pixels = queries[..., 0, 0].numel()
    _queries_gradient[pixels,](grad, values, table, grad_q, **options)

    grid = r_y, triton.cdiv(pixels, PIXELS)
    parts = grad.new_empty(grid[1], r_y, r_x, u, k, dtype=torch.float32)
    _embedding_gradient[grid](grad, queries, values, parts, pixels, PIXELS=PIXELS, **options)
    grad_e = parts.sum(0).permute(3, 2, 0, 1).to(embedding.dtype)

    options = _options_back(queries, values, embedding)
    b, height, width = queries.shape[:3]
    groups = b * height * triton.cdiv(width, options["P"])
    _values_gradient[groups, triton.cdiv(values.shape[4], options["V"])](grad, queries, table, grad_v, **options)
    return grad_q, grad_v, grad_e


def _table(embedding: Tensor) -> Tensor:
    """E as rows of k, (r_y, r_x, u, k)."""
    return embedding.permute(2, 3, 1, 0).contiguous()


def _power(number: int, least: int = 16) -> int:
    """The next power of 2, and at least a side of a tensor core's tile."""
    return max(least, triton.next_power_of_2(number))


def _sizes(queries: Tensor, values: Tensor, embedding: Tensor) -> dict[str, int]:
    """The numbers that all kernels are compiled for."""
    (_, height, width, h, k), (u, v), (r_y, r_x) = queries.shape, values.shape[3:], embedding.shape[2:]
    return {"height": height, "width": width, "h": h, "k": k, "u": u, "v": v, "r_y": r_y, "r_x": r_x}


def _options(queries: Tensor, values: Tensor, embedding: Tensor) -> dict[str, int]:
    """Sizes, and the sides of the tiles: ROWS of queries, J entries of a window's row, K and V channels."""
    sizes = _sizes(queries, values, embedding)
    entries, v = _power(sizes["r_x"] * sizes["u"]), min(64, _power(sizes["v"]))
    tiles = {"ROWS": 16, "J": entries, "K": _power(sizes["k"]), "V": v}
    warps = 1 if entries * max(tiles["K"], v) <= 2048 else 4
    return {**sizes, **tiles, "num_warps": warps, "num_stages": STAGES}


def _options_back(queries: Tensor, values: Tensor, embedding: Tensor) -> dict[str, int]:
    """The same for dV: P pixels, U copies of D offsets, JQ queries of a window's row."""
    sizes = _sizes(queries, values, embedding)
    r_x, h, copies, offsets = sizes["r_x"], sizes["h"], _power(sizes["u"], 1), _power(sizes["r_x"], 1)
    offsets *= max(1, 16 // (copies * offsets))
    fit = _power((BESIDE + r_x - 1) * h) == _power(r_x * h) and sizes["width"] >= BESIDE
    tiles = {"P": BESIDE if fit else 1, "JQ": _power(r_x * h), "U": copies, "D": offsets, "K": _power(sizes["k"])}
    warps = 1 if copies * offsets * tiles["JQ"] <= 1024 else 4
    return {**sizes, **tiles, "V": min(CHANNELS, _power(sizes["v"])), "num_warps": warps, "num_stages": STAGES_BACK}


@triton.jit
def _seen(
    x, row, dy, entry, height: tl.constexpr, width: tl.constexpr, each: tl.constexpr,
    r_y: tl.constexpr, r_x: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Which entries there are of row dy of P pixels' window, ``each`` for each of its columns."""
    column, line = x - r_x // 2 + entry // each, row + dy - r_y // 2
    entries = tl.where((line >= 0) & (line < height), (P + r_x - 1) * each, 0)
    return (entry < entries) & (column >= 0) & (column < width)


@triton.jit
def _tile(begin, line, channel, known, channels: tl.constexpr):
    """Read lines of so many channels, by line and channel in the axes' order; zeros where they are not known."""
    return tl.load(begin + line * channels + channel, mask=known & (channel < channels), other=0.0)


@triton.jit
def _forward(
    q, v_, e, y,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    n, r, j, depth = tl.program_id(0), tl.arange(0, ROWS), tl.arange(0, J), tl.arange(0, K)
    x, row, out = n % width, n // width % height, tl.program_id(1) * V + tl.arange(0, V)
    queries = _tile(q, n * h + r[:, None], depth[None, :], r[:, None] < h, k)
    total = tl.zeros((ROWS, V), dtype=tl.float32)
    for dy in range(0, r_y):
        rows = _tile(e, dy * r_x * u + j[None, :], depth[:, None], j[None, :] < r_x * u, k)
        signed_map = tl.dot(queries, rows)
        there = _seen(x, row, dy, j, height, width, u, r_y, r_x, 1)
        first = (n + (dy - r_y // 2) * width - r_x // 2) * u
        context = _tile(v_, first + j[:, None], out[None, :], there[:, None], v)
        total = tl.dot(signed_map.to(context.dtype), context, total)
    tl.store(y + (n * h + r[:, None]) * v + out[None, :], total, mask=(r[:, None] < h) & (out[None, :] < v))


@triton.jit
def _map_gradient(
    grad, v_, n, dy, r, j,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """da = dy Vᵀ for a pixel and row dy of its window, (ROWS, J)."""
    there = _seen(n % width, n // width % height, dy, j, height, width, u, r_y, r_x, 1)
    first = (n + (dy - r_y // 2) * width - r_x // 2) * u
    total = tl.zeros((ROWS, J), dtype=tl.float32)
    for begin in range(0, v, V):
        out = begin + tl.arange(0, V)
        d_y = _tile(grad, n * h + r[:, None], out[None, :], r[:, None] < h, v)
        context = _tile(v_, first + j[None, :], out[:, None], there[None, :], v)
        total = tl.dot(d_y, context, total)
    return total


@triton.jit
def _queries_gradient(
    grad, v_, e, grad_q,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dq = da Eᵀ."""
    n, r, j, depth = tl.program_id(0), tl.arange(0, ROWS), tl.arange(0, J), tl.arange(0, K)
    total = tl.zeros((ROWS, K), dtype=tl.float32)
    for dy in range(0, r_y):
        d_map = _map_gradient(grad, v_, n, dy, r, j, height, width, h, k, u, v, r_y, r_x, ROWS, J, K, V)
        rows = _tile(e, dy * r_x * u + j[:, None], depth[None, :], j[:, None] < r_x * u, k)
        total = tl.dot(d_map.to(rows.dtype), rows, total)
    tl.store(grad_q + (n * h + r[:, None]) * k + depth[None, :], total, mask=(r[:, None] < h) & (depth[None, :] < k))


@triton.jit
def _embedding_gradient(
    grad, q, v_, parts, pixels,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    ROWS: tl.constexpr, J: tl.constexpr, K: tl.constexpr, V: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """dE = daᵀ q for row dy of the window, over ``PIXELS`` pixels."""
    dy, chunk, r, j, depth = tl.program_id(0), tl.program_id(1), tl.arange(0, ROWS), tl.arange(0, J), tl.arange(0, K)
    total = tl.zeros((K, J), dtype=tl.float32)
    for n in range(chunk * PIXELS, min(pixels, (chunk + 1) * PIXELS)):
        d_map = _map_gradient(grad, v_, n, dy, r, j, height, width, h, k, u, v, r_y, r_x, ROWS, J, K, V)
        queries = _tile(q, n * h + r[None, :], depth[:, None], r[None, :] < h, k)
        total = tl.dot(queries, d_map.to(queries.dtype), total)
    where = parts + ((chunk * r_y + dy) * r_x * u + j[None, :]) * k + depth[:, None]
    tl.store(where, total, mask=(j[None, :] < r_x * u) & (depth[:, None] < k))


@triton.jit
def _values_gradient(
    grad, q, e, grad_v,
    height: tl.constexpr, width: tl.constexpr, h: tl.constexpr, k: tl.constexpr,
    u: tl.constexpr, v: tl.constexpr, r_y: tl.constexpr, r_x: tl.constexpr,
    P: tl.constexpr, JQ: tl.constexpr, U: tl.constexpr, D: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
):  # fmt: skip
    """dV_m = Σ_n a_nm dy_n, for P pixels m side by side, over the pixels n that see them.

    A product of all queries of a row with all embeddings of a row of the window has what is wanted on a diagonal: the
    query's column and the offset must add up to m's. The rest is set to zero before the second product.
    """
    across: tl.constexpr = (width + P - 1) // P
    x, line = tl.program_id(0) % across * P, tl.program_id(0) // across
    m, row, out = line * width + x, line % height, tl.program_id(1) * V + tl.arange(0, V)
    depth, j, jq = tl.arange(0, K), tl.arange(0, P * U * D), tl.arange(0, JQ)
    pixel, copy, dx = j[:, None] // (U * D), j[:, None] // D % U, j[:, None] % D
    wanted = dx + jq[None, :] // h == r_x - 1 + pixel
    total = tl.zeros((P * U * D, V), dtype=tl.float32)
    for dy in range(0, r_y):
        rows = _tile(e, (dy * r_x + dx) * u + copy, depth[None, :], (copy < u) & (dx < r_x), k)
        there = _seen(x, row, r_y - 1 - dy, jq, height, width, h, r_y, r_x, P)
        first = (m + (r_y // 2 - dy) * width - r_x // 2) * h
        queries = _tile(q, first + jq[None, :], depth[:, None], there[None, :], k)
        signed_map = tl.where(wanted, tl.dot(rows, queries), 0.0)
        d_y = _tile(grad, first + jq[:, None], out[None, :], there[:, None], v)
        total = tl.dot(signed_map.to(d_y.dtype), d_y, total)
    total = tl.sum(tl.reshape(total, (P * U, D, V)), axis=1)
    line = tl.arange(0, P * U)[:, None]
    there = (line % U < u) & (line // U < width - x) & (out[None, :] < v)
    tl.store(grad_v + ((m + line // U) * u + line % U) * v + out[None, :], total, mask=there)
