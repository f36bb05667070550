"""Random inputs that nobody has seen before, so that an answer cannot be one that was stored."""

import random

import torch
from torch import Tensor


class Fresh:
    """Draws inputs; another seed each time unless one is given.

    Args:
        seed: any whole number, to draw the same inputs again.
    """

    def __init__(self, seed: int | None = None):
        self._random = random.Random(seed)
        self._generator = torch.Generator().manual_seed(self._random.getrandbits(60))

    def numbers(self, *shape: int) -> Tensor:
        """Return normally distributed numbers in float64."""
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def sizes(self, count: int, low: int = 2, high: int = 6) -> list[int]:
        """Return whole numbers from low to high, all different, so that no two axes can be taken for one another."""
        return self._random.sample(range(low, high + 1), count)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high."""
        return self._random.randint(low, high)

    def choice(self, options):
        """Return one of some options."""
        return self._random.choice(options)
