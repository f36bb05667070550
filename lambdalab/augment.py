"""Augmentation of whole batches: a random crop, flip and cutout for each picture, where the batch already is.

Nothing here loops over pictures: a batch of 256 CIFAR-sized ones takes about a millisecond on one CPU core.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lambdalab.errors import UserError


class Draws(NamedTuple):
    """What chance decided for each of N pictures.

    Attributes:
        shift: (N, 2) rows and columns, each in [-crop, crop], by which the crop window moves down and right.
        flip: (N,) whether left and right are exchanged.
        hole: (N, 2) row and column of the cutout's centre, anywhere in the picture.
    """

    shift: Tensor
    flip: Tensor
    hole: Tensor


@dataclass(frozen=True)
class Augment:
    """Random crop with zero padding, horizontal flip and cutout, drawn anew for each picture of a batch.

    With the picture x padded by zeros, its shift (a, b) and its flip, the result is, before the cutout,
    ``y[i, j] = x[i + a, j' + b]`` with ``j' = W - 1 - j`` if it is flipped and ``j' = j`` if not.
    Zero means black for bytes and the channel's mean for normalised pictures. The default changes nothing.

    Sources: the crop and flip usual for CIFAR-10; cutout: DeVries and Taylor 2017, arXiv:1708.04552.

    Attributes:
        crop: pixels of zero padding on each side before a window of the old size is cut out (CIFAR-10: 4).
        flip: whether a picture is mirrored with probability 1/2.
        cutout: side in pixels of the square set to zero; its centre is uniform, so the border may clip it.

    Raises:
        UserError: a crop or cutout that is no whole number of 0 or more.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        for name in ("crop", "cutout"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise UserError(f"{name} is {value!r}; it must be a whole number of pixels, 0 or more (0: none)")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the augmented pictures; the given ones stay as they are.

        Args:
            images: (N, C, H, W), bytes or floats, on any device.
            generator: decides everything: the same state gives the same result. One that lives on the CPU
                gives the same on every device; a GPU's own draws other numbers.

        Returns:
            (N, C, H, W) of the same type on the same device.

        Raises:
            UserError: a crop or cutout too large for the pictures.
        """
        size = tuple(images.shape[-2:])
        if self.crop >= min(size) or self.cutout > min(size):
            raise UserError(
                f"crop={self.crop}, cutout={self.cutout} do not fit pictures of {size[0]}×{size[1]} pixels; "
                f"crop can be 0 to {min(size) - 1}, cutout 0 to {min(size)}"
            )
        draws = self.draw(len(images), size, generator)
        draws = Draws(*(drawn.to(images.device, non_blocking=True) for drawn in draws))
        if self.crop or self.flip:
            images = _crop_and_flip(images, draws, self.crop)
        return _cut_out(images, draws.hole, self.cutout) if self.cutout else images

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Draws:
        """Return what `generator` decides for `count` pictures of H×W pixels, on the generator's device.

        As many numbers are drawn whatever is switched on, so that switching one on leaves the others
        unchanged.
        """

        def integers(low: int, high: int, *columns: int) -> Tensor:
            return torch.randint(low, high, (count, *columns), generator=generator, device=generator.device)

        shift = integers(-self.crop, self.crop + 1, 2)
        flip = integers(0, 2) == 1
        hole = torch.stack([integers(0, side) for side in size], dim=1)
        return Draws(shift, flip & self.flip, hole)


def _crop_and_flip(images: Tensor, draws: Draws, crop: int) -> Tensor:
    """Gather each picture's window, shifted and perhaps mirrored, from its zero-padded self."""
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device).expand(count, -1)
    columns = torch.arange(width, device=images.device).expand(count, -1)
    columns = torch.where(draws.flip[:, None], width - 1 - columns, columns)
    rows = rows + crop + draws.shift[:, :1]
    columns = columns + crop + draws.shift[:, 1:]
    padded = F.pad(images, (crop,) * 4)
    positions = rows[:, :, None] * padded.shape[-1] + columns[:, None, :]
    positions = positions.view(count, 1, height * width).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, positions).view(images.shape)


def _cut_out(images: Tensor, hole: Tensor, side: int) -> Tensor:
    """Set the square of `side` pixels around each picture's `hole` to zero."""
    first = hole - side // 2
    rows = torch.arange(images.shape[-2], device=images.device) - first[:, :1]
    columns = torch.arange(images.shape[-1], device=images.device) - first[:, 1:]
    in_rows = (rows >= 0) & (rows < side)
    in_columns = (columns >= 0) & (columns < side)
    return images.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0)
