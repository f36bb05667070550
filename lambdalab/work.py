"""What each order of the position term does for a shape, counted from its loops.

The units are what was seen to take time: multiply-adds of each product, numbers written and read, operations started.
"""

import warnings
from collections import Counter
from functools import lru_cache
from importlib.util import find_spec
from math import prod
from typing import NamedTuple

import torch

from lambdalab import compiled, cuts
from lambdalab.cuts import KERNEL, Tiling

CACHE_NUMBERS = 2**20  # numbers of an intermediate result from which on each costs more
LANES = 8  # numbers in half a vector of a processor
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
    """Work of a kernel, pixel by pixel and row by row of the window; it needs no memory."""
    if shape.device == "cpu":
        work = _count_compiled(shape)
    else:  # a row in pieces of 32 entries
        rows = shape.batch * shape.height * shape.width * shape.window[0] * -(-shape.window[1] * shape.dim_u // 32)
        work = Work({"kernel": 1, "window rows": rows, "window rows by v": rows * -(-shape.dim_v // 16)})
    if shape.training:
        work += Work({f"{unit}, back": amount for unit, amount in work.items()})
    return work, 0


def _count_compiled(shape: Shape) -> Work:
    """A processor's kernel computes whole halves of vectors: of k, of v, and of the taps of a window's row.

    Copied are the values, turned round for the backward pass, and depths that are none.
    """
    k, v = (-(-depth // LANES) * LANES for depth in (shape.dim_k, shape.dim_v))
    rows = shape.batch * _seen(shape.height, shape.window[0], 1)[0]
    taps, vectors = _seen(shape.width, shape.window[1], shape.dim_u)
    products = rows * shape.heads
    copied = shape.dim_u * v + (k > shape.dim_k) * shape.heads * k + (v > shape.dim_v) * (shape.dim_u + shape.heads) * v
    return Work(
        {
            "compiled": 1,
            "copied": shape.batch * shape.height * shape.width * copied,
            "rows of pixels": rows * shape.width,
            "q·E in vectors": products * vectors * LANES * k,
            "a·V in vectors": products * taps * v,
        }
    )


def _seen(side: int, window: int, each: int) -> tuple[int, int]:
    """Entries, ``each`` a pixel, that all pixels along an axis see of it, and how many vectors hold them."""
    seen = [each * (min(side, place + window // 2 + 1) - max(0, place - window // 2)) for place in range(side)]
    return sum(seen), sum(-(-entries // LANES) for entries in seen)


def kernel_fits(shape: Shape) -> bool:
    """Whether there is a kernel for a shape: on a processor, if it was asked for; on a GPU, if there is room.

    There in half precision, where a row of the window fits registers.
    """
    if shape.device == "cpu":
        return compiled.runs(shape.dtype)
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
