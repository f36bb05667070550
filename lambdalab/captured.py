"""One lambda layer's part in one forward pass, and the lambdas and embeddings that belong to its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.errors import UserError
from lambdalab.named_arrays import name_arrays

Pixel = tuple[int, int]  # (row, column)


@dataclass(frozen=True)
class Captured:
    """One layer's part in one forward pass; letters as in ``equations``, n and m count pixels row by row."""

    queries: Tensor  # (b, h, n, k)
    keys: Tensor | None  # K̄, (b, m, u, k), softmaxed over m; None without a content lambda
    values: Tensor  # (b, m, u, v)
    embedding: Tensor | None  # E, (k, u, r_y, r_x), offset 0 in the middle; None without a position lambda
    content: Tensor | None  # λc, (b, k, v)
    output: Tensor  # y, (b, h, n, v)
    size: tuple[int, int]  # (H, W) of the layer's map
    scope: int | None  # width of the position lambda's window; None: the global context
    bias: Tensor | None = None  # (k,), on every λp at every v: q_n·bias in y belongs to no pixel (timm only)

    def index(self, pixel: Pixel) -> int:
        """Return n of a pixel (row, column).

        Raises:
            UserError: if it is outside the layer's map.
        """
        (height, width), (row, column) = self.size, pixel
        if not (0 <= row < height and 0 <= column < width):
            raise UserError(
                f"pixel (row, column) = ({row}, {column}) is outside the layer's map of {height}×{width}; "
                f"rows go from 0 to {height - 1}, columns from 0 to {width - 1}"
            )
        return row * width + column

    def check_query(self, picture: int, head: int) -> None:
        """Refuse a picture or a head that was not captured.

        Raises:
            UserError: naming the first and last there are.
        """
        for name, index, count in zip(("picture", "head"), (picture, head), self.queries.shape[:2], strict=True):
            if not 0 <= index < count:
                raise UserError(f"there is no {name} {index}; give one from 0 to {count - 1}")

    def position_lambdas(self, pixels: Sequence[Pixel]) -> Tensor:
        """Return λp, (b, len(pixels), k, v), at these pixels (row, column); zeros without a position lambda.

        Raises:
            UserError: if a pixel is outside the map.
        """
        b, k, v = self.values.shape[0], self.queries.shape[3], self.values.shape[3]
        values, lambdas = precise(self.values).unflatten(1, self.size), []
        table = self.offsets()
        for pixel in pixels:
            window = window_of(table, self.size, self.index(pixel))
            lambdas.append(torch.einsum("kuyx,byxuv->bkv", window, values))
        made = torch.stack(lambdas, dim=1) if lambdas else values.new_zeros(b, 0, k, v)
        return made if self.bias is None else made + precise(self.bias)[:, None]

    def offsets(self) -> Tensor:
        """Return E for every offset of the map, (k, u, 2H−1, 2W−1), 0 beyond the scope; offset 0 in the middle."""
        (height, width), k, u = self.size, self.queries.shape[3], self.values.shape[2]
        if self.embedding is None:
            return precise(self.values).new_zeros(k, u, 2 * height - 1, 2 * width - 1)
        beyond_y, beyond_x = (
            length - 1 - r // 2 for length, r in zip(self.size, self.embedding.shape[2:], strict=True)
        )
        return F.pad(precise(self.embedding), (beyond_x, beyond_x, beyond_y, beyond_y))  # negative: cut

    def arrays(self, pixels: Sequence[Pixel] = ()):
        """Return all of it as an ``xarray.Dataset`` with the paper's letters as dimensions.

        Args:
            pixels: where to add position lambdas, ``position`` (b, pixel, k, v).

        Raises:
            UserError: if a pixel is outside the map.
        """
        return name_arrays(self, list(pixels))


def precise(part: Tensor) -> Tensor:
    """A record that was kept in half precision, for computing; single and double stay."""
    return part.float() if part.dtype in (torch.float16, torch.bfloat16) else part


def window_of(table: Tensor, size: tuple[int, int], n: int) -> Tensor:
    """Return E_{m−n} for all m as a picture, (k, u, H, W), from ``Captured.offsets()``."""
    top, left = (length - 1 - place for length, place in zip(size, divmod(n, size[1]), strict=True))
    return table[:, :, top : top + size[0], left : left + size[1]]
