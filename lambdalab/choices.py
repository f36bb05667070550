"""Which way to compute the position term of a shape: every order, every tiling, priced, and the best of them.

The choice depends on the shape alone, never on a timing, so that a run can be repeated bit for bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from lambdalab.cuts import KERNEL, Tiling
from lambdalab.prices import price
from lambdalab.work import CACHE_NUMBERS, Shape, Work, count_kernel, count_plain, count_tiles, kernel_fits

MAP_FIRST = ("dense", "banded")
ORDERS = ("lambda", "convolve", *MAP_FIRST)
NAMES = (*ORDERS, "kernel")  # of ways: the kernel is "banded" without tiles
TILE_BYTES = {"cpu": 4 * 2**20, "cuda": 2**28}  # a tile of the map: what stays in a core's cache, or fills a GPU
ALIKE = 1.05  # predictions this near to each other are not told apart
SURE = 1.1  # a kernel's come true twice as well as the others': if so near to the best, it is taken


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

    @property
    def name(self) -> str:
        """The order, or "kernel" if one kernel does without tiles."""
        return "kernel" if self.tiling == KERNEL else self.order


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
    """The best way of each name for a shape, the best first.

    That is the quickest, and of those predicted alike the kernel or else the smaller.
    """
    tile_bytes = tile_bytes or TILE_BYTES.get(shape.device, TILE_BYTES["cpu"])
    found: dict[str, list[Choice]] = {}
    for order in ORDERS:
        for way in ways_of(shape, order, tile_bytes):
            found.setdefault(way.name, []).append(way)
    quickest = min(way.seconds for ways in found.values() for way in ways)

    def rank(way: Choice) -> tuple:
        sure = way.name == "kernel"
        if way.seconds > (SURE if sure else ALIKE) * quickest:
            return 1, way.seconds
        return 0, not sure, way.memory // CACHE_NUMBERS, way.seconds  # whole caches: what stays in one costs nothing

    return tuple(sorted((min(ways, key=rank) for ways in found.values()), key=rank))


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
