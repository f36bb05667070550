"""How the map of all pairs of pixels is cut into tiles: geometry alone, shared by the products and by their costs."""

from collections.abc import Iterator
from typing import NamedTuple

import torch


class Tiling(NamedTuple):
    """How the map is cut: a block's rows and columns, and how many blocks that share their embeddings go together."""

    rows: int
    columns: int
    share: str  # "pictures" or "rows": what the blocks of a tile are taken from
    together: int

    def __str__(self) -> str:
        if self == KERNEL:
            return "none: one kernel"
        return f"{self.rows}×{self.columns}, {self.together} {self.share} together"


KERNEL = Tiling(1, 1, "kernel", 1)  # no tiles: the map stays in registers, or in the first cache, pixel by pixel


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
