"""What each order of the position term does, counted from its loops, priced, and so which is the quickest for a shape.

The units are what was seen to take time: multiply-adds of each product, numbers written and read, operations started.
The choice depends on the shape alone, never on a timing, so that a run can be repeated bit for bit.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import product
from math import prod
from typing import NamedTuple

import torch

from lambdalab import cuts
from lambdalab.cuts import KERNEL, Tiling
from lambdalab.prices import price

MAP_FIRST = ("dense", "banded")
ORDERS = ("lambda", "convolve", *MAP_FIRST)
TILE_BYTES = {"cpu": 4 * 2**20, "cuda": 2**28}  # a tile of the map: what stays in a core's cache, or fills a GPU
CACHE_NUMBERS = 2**20  # numbers of an intermediate result from which on each costs more
ALIKE = 1.05  # predictions this near to each other are not told apart
PAGED_NUMBERS = 2**23  # and from which on it has fresh memory each time: glibc keeps no freed array of 32 MiB or more


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


Work = Counter  # how much of each unit of work; ``prices.json`` has what one costs


@dataclass(frozen=True)
class Choice:
    """One way to compute the position term of a shape, and what it costs."""

    order: str
    tiling: Tiling | None
    work: Work
    memory: int  # numbers in the largest intermediate results
    seconds: float  # predicted
    fits: bool = True  # whether its tiles keep to their bytes
    measured: float | None = None


def count_plain(shape: Shape, order: str) -> tuple[Work, int]:
    """Work and memory of "lambda" and "convolve"."""
    b, n, k, v, u = shape.batch, shape.height * shape.width, shape.dim_k, shape.dim_v, shape.dim_u
    lambdas, spread = b * n * k * v, n * n * u * k if order == "lambda" else 0
    if order == "lambda":
        work = Work({"lambda": 1, "all pairs": n * u * lambdas, "all spread": spread, "λ": lambdas, "λ used": b * n})
    else:
        work = _count_convolution(shape, lambdas)
    work += Work({"fresh pages": sum(numbers for numbers in (lambdas, spread) if numbers >= PAGED_NUMBERS)})
    if shape.training:
        work += Work({f"{unit}, back": amount for unit, amount in work.items()})
        if order == "convolve":  # the values' gradient: a convolution from k channels to u, which are far from a vector
            work += Work({"taps by k": b * v * k * pairs(shape)})
    return work, (spread or lambdas) + lambdas


def _count_convolution(shape: Shape, lambdas: int) -> Work:
    b, n, v, u = shape.batch, shape.height * shape.width, shape.dim_v, shape.dim_u
    channels = -(-shape.dim_k // 16) * 16  # a convolution computes whole vectors of output channels
    taps, window = b * channels * v * u * pairs(shape), b * n * channels * v * u * prod(shape.window)
    work, beyond = Work({"convolution": 1, "applied": b * n}), max(0, lambdas - CACHE_NUMBERS)
    if u > 1:
        work += Work({"taps": taps, "window": window, "channels": b * v, "channel pixels": b * v * u * n})
    elif channels_last(shape):
        work += Work(
            {
                "taps of one channel, last": taps,
                "window of one channel, last": window,
                "pixels of one channel, last": b * v * n,
            }
        )
    else:
        work += Work({"taps of one channel": taps, "window": window, "channels": b * v, "channel pixels": b * v * n})
    if shape.device == "cpu" and channels_last(shape):
        work += Work({"λ with k last": lambdas, "applied products": lambdas * shape.heads})
        return work + Work({"λ beyond the cache": beyond})
    return work + Work({"λ by v": lambdas, "λ by v beyond the cache": beyond})


def channels_last(shape: Shape) -> bool:
    """Whether the convolution's tensors lie with their channels last: quicker, but where oneDNN has no code for it."""
    if shape.device != "cpu":
        return shape.dim_u > 1
    window, pixels = prod(shape.window), shape.height * shape.width
    if window > 64 * shape.batch * shape.dim_v:  # from 80 on the embedding's gradient took fifty times as long
        return False
    return shape.dim_u > 1 or window <= min(pixels // 4, 256)


def pairs(shape: Shape) -> int:
    """Pairs of pixels, query and context, that lie within one window of each other."""
    # Along an axis of length s, s − o pairs are o apart: s of them with o = 0, and twice as many with each other o.
    axes = ((side, r // 2) for side, r in zip((shape.height, shape.width), shape.window, strict=True))
    return prod(side * (2 * reach + 1) - reach * (reach + 1) for side, reach in axes)


def count_tiles(shape: Shape, tiling: Tiling) -> tuple[Work, int]:
    """Work and memory of the map-first order with a tiling, tile by tile."""
    values = torch.Size((shape.batch, shape.height, shape.width, shape.dim_u, shape.dim_v))
    work, memory = Work(), 0
    for strip in cuts.strips(values, torch.Size((shape.dim_k, shape.dim_u, *shape.window)), tiling):
        queries, columns = strip.rows * (strip.right - strip.left), (strip.last - strip.first) * shape.dim_u
        spread = queries * (strip.below - strip.above) * columns * shape.dim_k
        work += Work({"strip": 1, "spread": spread})
        alike = Counter(
            (_count_blocks(tile, shape.batch), tile.below - tile.above) for tile in cuts.tiles(values, strip, tiling)
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


def _count_blocks(tile: cuts.Tile, batch: int) -> int:
    if isinstance(tile.block, slice):
        return tile.block.stop - tile.block.start
    return len(range(*tile.picture.indices(batch)))


def _count_tile(shape: Shape, queries: int, together: int, context: int) -> dict[str, int]:
    by_k = shape.heads * together * queries * context
    return {
        "tile": 1,
        "q·E": by_k * shape.dim_k,
        "a·V": queries * shape.heads * together * context * shape.dim_v,
        "map": by_k,
        "blocks": together * queries * shape.heads * (shape.dim_k + shape.dim_v),
        "matrices": queries + together,
        "spread read": queries * context * shape.dim_k,
    }


def count_kernel(shape: Shape) -> tuple[Work, int]:
    """Work of the kernel: a pixel's window, row by row, in pieces of 32 entries; it needs no memory."""
    rows = shape.batch * shape.height * shape.width * shape.window[0] * -(-shape.window[1] * shape.dim_u // 32)
    work = Work({"kernel": 1, "window rows": rows, "window rows by v": rows * -(-shape.dim_v // 16)})
    if shape.training:
        work += Work({f"{unit}, back": amount for unit, amount in work.items()})
    return work, 0


def kernel_fits(shape: Shape) -> bool:
    """Whether there is a kernel for a shape: on a GPU, in half precision, where a row of the window fits registers."""
    across = shape.window[1] * max(shape.dim_u, shape.heads)
    channels = max(shape.heads * max(shape.dim_k, shape.dim_v), shape.dim_u * shape.dim_v)
    small = across <= 128 and shape.heads <= 16 and shape.dim_k <= 64
    small = small and shape.batch * shape.height * shape.width * channels < 2**31  # it counts in 32 bits
    half = shape.dtype in (torch.bfloat16, torch.float16)
    return small and half and shape.device == "cuda" and kernel_runs()


@lru_cache
def kernel_runs() -> bool:
    """Whether Triton is installed and, where there is a GPU, can compile for it: tried once, and told if it cannot."""
    if find_spec("triton") is None:
        return False
    if not torch.cuda.is_available():  # a plan for another machine
        return True
    try:
        from lambdalab import kernels

        pixels = torch.ones(1, 2, 2, 1, 16, device="cuda", dtype=torch.float16)
        kernels.position_term(pixels, pixels, pixels.new_ones(16, 1, 3, 3), KERNEL)
        torch.cuda.synchronize()
    except Exception as error:  # an old GPU, no C compiler, no headers of Python: Triton raises a dozen kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"lambda layers do without their Triton kernel, which is slower: {reason}", stacklevel=2)
        return False
    return True


def tilings(shape: Shape, order: str, tile_bytes: int) -> list[Tiling]:
    """The tilings worth considering, each with as many blocks together as the bytes of a tile allow.

    Of the banded ones those whose single block is larger than that are left out, unless all are.
    """
    if order == "dense":
        cuts = [Tiling(shape.height, shape.width, "pictures", 0)]
    else:
        columns = sorted({min(each, shape.width) for each in (4, 8, 16, shape.width)})
        forms = product([rows for rows in (1, 2, 4) if rows == 1 or rows < shape.height], columns, ("pictures", "rows"))
        cuts = [Tiling(*form, 0) for form in forms]
    blocks = [block_bytes(shape, cut) for cut in cuts]
    limit = max(tile_bytes, min(blocks))
    return [
        cut._replace(together=max(1, min(_alike(shape, cut), tile_bytes // block)))
        for cut, block in zip(cuts, blocks, strict=True)
        if block <= limit
    ]


def block_bytes(shape: Shape, tiling: Tiling) -> int:
    """The part of the map that one block's queries and their window make."""
    rows = min(shape.height, tiling.rows + shape.window[0] - 1)
    columns = min(shape.width, tiling.columns + shape.window[1] - 1)
    return tiling.rows * tiling.columns * shape.heads * rows * columns * shape.dim_u * shape.dtype.itemsize


def _alike(shape: Shape, tiling: Tiling) -> int:
    """Blocks that could go together."""
    return shape.batch if tiling.share == "pictures" else -(-shape.height // tiling.rows)


@lru_cache(maxsize=1024)
def alternatives(shape: Shape, tile_bytes: int | None = None) -> tuple[Choice, ...]:
    """The best way of each order for a shape, the best first: the quickest, of those predicted alike the smaller."""
    tile_bytes = tile_bytes or TILE_BYTES.get(shape.device, TILE_BYTES["cpu"])
    found = [list(ways_of(shape, order, tile_bytes)) for order in ORDERS]
    limit = ALIKE * min(way.seconds for ways in found for way in ways)

    def rank(way: Choice) -> tuple:
        if way.seconds > limit:
            return 1, way.seconds
        return 0, way.memory // CACHE_NUMBERS, way.seconds

    return tuple(sorted((min(ways, key=rank) for ways in found), key=rank))


def ways_of(shape: Shape, order: str, tile_bytes: int) -> Iterator[Choice]:
    """One way for "lambda" and "convolve", one for each tiling worth considering for the others."""
    if order not in MAP_FIRST:
        work, memory = count_plain(shape, order)
        yield Choice(order, None, work, memory, price(work, shape.device))
        return
    for tiling in tilings(shape, order, tile_bytes):
        work, memory = count_tiles(shape, tiling)
        fits = block_bytes(shape, tiling) <= tile_bytes
        yield Choice(order, tiling, work, memory, price(work, shape.device), fits)
    if order == "banded" and kernel_fits(shape):
        work, memory = count_kernel(shape)
        yield Choice(order, KERNEL, work, memory, price(work, shape.device))


def choose(shape: Shape, order: str = "auto", tile_bytes: int | None = None) -> Choice:
    """The first way for a shape whose tiles keep to their bytes, or the one in the order of this name."""
    ways = alternatives(shape, tile_bytes)
    return next(way for way in ways if way.order == order or (order == "auto" and way.fits))
