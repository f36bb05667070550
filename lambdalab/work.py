"""What each order of the position term does, counted from its loops, priced, and so which is the quickest for a shape.

The units are what was seen to take time: multiply-adds of each product, numbers written and read, operations started.
The choice depends on the shape alone, never on a timing, so that a run can be repeated bit for bit.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch

from lambdalab import tiles
from lambdalab.tiles import Tiling

MAP_FIRST = ("dense", "banded")
ORDERS = ("lambda", "convolve", *MAP_FIRST)
TILE_BYTES = 2 * 2**20  # a tile of the map that stays in a core's cache


class Shape(NamedTuple):
    """All that the choice depends on; letters as in ``contraction``."""

    batch: int
    height: int
    width: int
    dim_k: int
    dim_v: int
    heads: int
    dim_u: int
    window: tuple[int, int]  # of the embedding, after ``contraction.crop``
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    training: bool = True


Work = Counter  # how much of each unit of work, by the names of PRICES

# Seconds for one unit of each kind of work. CPU: fitted to timings in float32 with one thread; a GPU's are from its
# data sheet, on paper until they are measured.
PRICES = {
    "cpu": {
        "all pairs": 2.79e-11,
        "all pairs, back": 4.51e-11,
        "all spread": 8.27e-09,
        "all spread, back": 4.3e-09,
        "lambda": 0.000158,
        "lambda, back": 0.000264,
        "λ": 3.63e-10,
        "λ, back": 3.31e-09,
        "applied": 1.21e-07,
        "applied, back": 5.68e-07,
        "convolution": 9.6e-05,
        "convolution, back": 0.000398,
        "taps": 2.71e-11,
        "taps, back": 2.33e-10,
        "λ by v": 1.74e-09,
        "λ by v, back": 7.4e-09,
        "a·V": 2.03e-11,
        "a·V, back": 5.01e-11,
        "blocks": 4.39e-10,
        "blocks, back": 8.78e-10,
        "map": 1.42e-09,
        "map, back": 3.11e-09,
        "matrices": 6.83e-07,
        "matrices, back": 1.53e-06,
        "q·E": 0.0,
        "q·E, back": 0.0,
        "rows": 4.16e-06,
        "rows, back": 0.0,
        "spread": 5.08e-10,
        "spread read": 3.32e-10,
        "spread read, back": 1.4e-09,
        "spread, back": 1.65e-09,
        "strip": 0.000143,
        "strip, back": 0.000375,
        "tile": 2.45e-05,
        "tile, back": 6.13e-05,
        "windows": 6.99e-10,
        "windows, back": 0.0,
    },
}


@dataclass(frozen=True)
class Choice:
    """One way to compute the position term of a shape, and what it costs."""

    order: str
    tiling: Tiling | None
    work: Work
    memory: int  # numbers in the largest intermediate results
    seconds: float  # predicted
    measured: float | None = None


def count_plain(shape: Shape, order: str) -> tuple[Work, int]:
    """Work and memory of "lambda" and "convolve"."""
    b, n, k, v, u = shape.batch, shape.height * shape.width, shape.dim_k, shape.dim_v, shape.dim_u
    lambdas, spread = b * n * k * v, n * n * u * k
    if order == "lambda":
        work = Work({"lambda": 1, "all pairs": n * u * lambdas, "all spread": spread, "λ": lambdas})
    else:
        work = Work({"convolution": 1, "taps": b * k * v * u * pairs(shape), "λ by v": lambdas, "applied": b * n})
    if shape.training:
        work += Work({f"{unit}, back": amount for unit, amount in work.items()})
    return work, (spread if order == "lambda" else lambdas) + lambdas


def pairs(shape: Shape) -> int:
    """Pairs of pixels, query and context, that lie within one window of each other."""
    # Along an axis of length s, s − o pairs are o apart: s of them with o = 0, and twice as many with each other o.
    axes = ((side, r // 2) for side, r in zip((shape.height, shape.width), shape.window, strict=True))
    return prod(side * (2 * reach + 1) - reach * (reach + 1) for side, reach in axes)


def count_tiles(shape: Shape, tiling: Tiling) -> tuple[Work, int]:
    """Work and memory of the map-first order with a tiling, tile by tile."""
    values = torch.Size((shape.batch, shape.height, shape.width, shape.dim_u, shape.dim_v))
    work, memory = Work(), 0
    for strip in tiles.strips(values, torch.Size((shape.dim_k, shape.dim_u, *shape.window)), tiling):
        queries, columns = strip.rows * (strip.right - strip.left), (strip.last - strip.first) * shape.dim_u
        spread = queries * (strip.below - strip.above) * columns * shape.dim_k
        work += Work({"strip": 1, "spread": spread})
        alike = Counter(
            (_count_blocks(tile, shape.batch), tile.below - tile.above) for tile in tiles.tiles(values, strip, tiling)
        )
        for (together, rows), times in alike.items():
            for unit, amount in _count_tile(shape, queries, together, rows * columns).items():
                work[unit] += times * amount
            if shape.training:
                overlapping = rows if tiling.share == "rows" else 1
                work += Work({"windows": times * together * rows * columns * shape.dim_v, "rows": times * overlapping})
            numbers = queries * shape.heads * together * rows * columns
            memory = max(memory, spread + (2 if shape.training else 1) * numbers)
    if shape.training:
        work += Work({f"{unit}, back": amount for unit, amount in work.items()})
    return work, memory


def _count_blocks(tile: tiles.Tile, batch: int) -> int:
    if isinstance(tile.block, slice):
        return tile.block.stop - tile.block.start
    return len(range(*tile.picture.indices(batch)))


def _count_tile(shape: Shape, queries: int, together: int, context: int) -> dict[str, int]:
    by_k = shape.heads * together * queries * context
    return {
        "tile": 1,
        "q·E": by_k * shape.dim_k,
        "a·V": queries * shape.heads * together * context * (-(-shape.dim_v // 8) * 8),
        "map": by_k,
        "blocks": together * queries * shape.heads * (shape.dim_k + shape.dim_v),
        "matrices": queries + together,
        "spread read": queries * context * shape.dim_k,
    }


def tilings(shape: Shape, order: str, tile_bytes: int) -> list[Tiling]:
    """The tilings worth considering, each with as many blocks together as the bytes of a tile allow."""
    found = []
    size = torch.empty((), dtype=shape.dtype).element_size()
    whole = Tiling(shape.height, shape.width, "pictures", shape.batch)
    cuts = (
        [whole]
        if order == "dense"
        else [
            Tiling(rows, columns, share, 0)
            for rows in (1, 2, 4)
            for columns in (4, 8, 16, shape.width)
            for share in ("pictures", "rows")
            if rows == 1 or (rows < shape.height and columns <= shape.width)
        ]
    )
    for cut in cuts:
        context = (min(shape.height, cut.rows + shape.window[0] - 1)) * min(
            shape.width, cut.columns + shape.window[1] - 1
        )
        one = cut.rows * cut.columns * shape.heads * context * shape.dim_u * size
        most = shape.batch if cut.share == "pictures" else -(-shape.height // cut.rows)
        found.append(cut._replace(together=max(1, min(most, tile_bytes // one))))
    return found


@lru_cache(maxsize=1024)
def alternatives(shape: Shape, tile_bytes: int = TILE_BYTES) -> tuple[Choice, ...]:
    """The best way of each order for a shape, the quickest first."""
    prices = PRICES.get(shape.device, PRICES["cpu"])
    choices = []
    for order in ORDERS:
        if order in ("lambda", "convolve"):
            ways = [(None, *count_plain(shape, order))]
        else:
            ways = [(tiling, *count_tiles(shape, tiling)) for tiling in tilings(shape, order, tile_bytes)]
        priced = [Choice(order, *way, sum(amount * prices[unit] for unit, amount in way[1].items())) for way in ways]
        if priced:
            choices.append(min(priced, key=lambda choice: choice.seconds))
    return tuple(sorted(choices, key=lambda choice: choice.seconds))


def choose(shape: Shape, order: str = "auto", tile_bytes: int = TILE_BYTES) -> Choice:
    """The quickest way for a shape, or the quickest in the order of this name."""
    return next(way for way in alternatives(shape, tile_bytes) if order in ("auto", way.order))
