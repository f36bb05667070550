"""A made dataset that shows the method's point: what matters is where one mark stands from another, far away.

Each picture holds a red mark A, a blue mark B six pixels away in one of eight directions, and four grey marks
that mean nothing; the direction is the class. All marks keep such a distance from each other and from the
border that, apart from the noise, **every picture has the same pixels and the same 3×3 neighbourhoods, only
in other places**.

So a content lambda, a sum over the context that knows no places, cannot tell the classes apart, and neither
can one 3×3 convolution with global pooling. A position lambda at A sees B's direction at once: one layer
solves it.
"""

import torch
from torch import Tensor

from lambdalab.errors import UserError

REACH = 6  # pixels from A to B
DIRECTIONS = {  # the classes: where B is seen from A, as (rows down, columns right)
    "up-left": (-REACH, -REACH),
    "up": (-REACH, 0),
    "up-right": (-REACH, REACH),
    "left": (0, -REACH),
    "right": (0, REACH),
    "down-left": (REACH, -REACH),
    "down": (REACH, 0),
    "down-right": (REACH, REACH),
}
COLOURS = [(200, 0, 0), (0, 0, 200), *[(100, 100, 100)] * 4]  # A, B and the grey marks, before the noise
MARK = 2  # side of a mark in pixels
MARGIN = 2  # empty pixels between a mark and the border: no 3×3 neighbourhood holds a mark and padding
APART = MARK + 2  # least distance of two marks' corners: no 3×3 neighbourhood holds two marks
NOISE = 56  # each byte gets a noise of 0 to 55
SMALLEST, LARGEST = 21, 256  # sizes; below 21 there might be no place left for the last grey mark


def make_offset_pairs(
    size: int, train: torch.Generator, test: torch.Generator
) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[str, ...]]:
    """Make 2,500 pictures to train and validate on, and 1,000 to test on.

    Args:
        size: side in pixels.
        train, test: CPU generators that decide everything. Only integers are drawn, so that every machine
            makes the same pictures.

    Returns:
        For "train" and "test", bytes (N, 3, size, size) and labels (N,); and the classes, `DIRECTIONS`.

    Raises:
        UserError: a size out of range.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"size is {size}; offset_pairs can be made with {SMALLEST} to {LARGEST} pixels a side")
    return {"train": _make(2500, size, train), "test": _make(1000, size, test)}, tuple(DIRECTIONS)


def _make(count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make `count` pictures, the classes equally often.

    A is uniform in the central square that keeps B off the border; the grey marks come one after another,
    each uniform over the places that are left.
    """

    def corners(count: int, border: int) -> Tensor:
        """Draw a mark's upper left pixel (count, 2), the mark `border` pixels or more off each side."""
        return torch.randint(border, size - border - MARK + 1, (count, 2), generator=generator)

    labels = torch.randperm(count, generator=generator) % len(DIRECTIONS)
    a = corners(count, MARGIN + REACH)
    marks = torch.stack([a, a + torch.tensor(list(DIRECTIONS.values()))[labels]], dim=1)
    for _ in COLOURS[2:]:
        grey = corners(count, MARGIN)
        while (crowded := _too_near(grey, marks)).any():
            grey[crowded] = corners(int(crowded.sum()), MARGIN)
        marks = torch.cat([marks, grey[:, None]], dim=1)
    return _paint(marks, size, generator), labels


def _too_near(corner: Tensor, marks: Tensor) -> Tensor:
    """Whether a mark at `corner` (N, 2) would share a 3×3 neighbourhood with one of `marks` (N, M, 2)."""
    distance = (corner[:, None] - marks).abs().amax(dim=-1)  # Chebyshev
    return (distance < APART).any(dim=1)


def _paint(marks: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return the bytes (N, 3, size, size) of noise with the `marks` (N, M, 2) on it."""
    images = torch.randint(NOISE, (len(marks), size, size, 3), generator=generator)
    picture = torch.arange(len(marks))[:, None]
    for down in range(MARK):
        for right in range(MARK):
            images[picture, marks[..., 0] + down, marks[..., 1] + right] += torch.tensor(COLOURS)
    return images.to(torch.uint8).permute(0, 3, 1, 2).contiguous()
