"""What a lambda layer listens to, measured on its record: how far, by content or by position, heads and copies alike.

Weights a_nmu are the implied attention of ``capture``. Where one number a pixel is needed it is Σ_u |a_nmu|: the copies
u weigh different values, so opposite weights do not cancel.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lambdalab.capture import implied_tiles
from lambdalab.captured import Captured, precise
from lambdalab.equations import apply_lambda
from lambdalab.errors import UserError

PARTS = ("content", "position", "total")


def receptive_field(captured: Captured, part: str = "total") -> Tensor:
    """Return the effective receptive field: how strongly a query weighs the context at each offset m − n.

    The mean of Σ_u |a_nmu| over heads, pictures, and those queries that have a pixel at this offset.

    Args:
        captured: one layer's record.
        part: "content", "position" or "total".

    Returns:
        (2H−1, 2W−1), offset 0 in the middle.

    Raises:
        UserError: if there is no such part.
    """
    check_part(part, PARTS)
    (height, width), (b, h) = captured.size, captured.queries.shape[:2]
    sums = precise(captured.values).new_zeros(2 * height - 1, 2 * width - 1)
    for row, weights in _absolute_rows(captured, part):
        top = height - 1 - row
        for column, seen in enumerate(weights.sum(dim=0)):
            sums[top : top + height, width - 1 - column : 2 * width - 1 - column] += seen
    pairs_y, pairs_x = (length - torch.arange(1 - length, length).abs() for length in captured.size)
    return sums / (b * h * pairs_y[:, None] * pairs_x).to(sums)


def mean_distance(field: Tensor) -> float:
    """Return how far a receptive field reaches: the mean distance |m − n| in pixels of the layer's map, by weight."""
    rows, columns = (torch.arange(length, dtype=field.dtype) - length // 2 for length in field.shape)
    distance = (rows[:, None].square() + columns.square()).sqrt().to(field.device)
    return ((field * distance).sum() / field.sum()).item()


def received(captured: Captured, picture: int, part: str = "total") -> Tensor:
    """Return how strongly each pixel m of a picture is listened to: the mean of Σ_u |a_nmu| over queries and heads.

    Args:
        captured: one layer's record.
        picture: which picture of the batch.
        part: "content", "position" or "total".

    Returns:
        (H, W).

    Raises:
        UserError: if there is no such picture or part.
    """
    check_part(part, PARTS)
    captured.check_query(picture, 0)
    rows = [weights.mean(dim=(0, 1)) for _, weights in _absolute_rows(captured, part, [picture])]
    return torch.stack(rows).mean(dim=0)


def _absolute_rows(
    captured: Captured, part: str, pictures: Sequence[int] | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Yield Σ_u |a_nmu| of all heads, (h, W, H, W), for each row of queries of each picture."""
    for picture in range(captured.queries.shape[0]) if pictures is None else pictures:
        for row, (_, implied) in enumerate(implied_tiles(captured, picture)):
            yield row, getattr(implied, part).abs().sum(dim=-3)


def energy_shares(captured: Captured) -> Tensor:
    """Return how much of each head's output is content, position, and both together, (h, 3).

    With y = y_c + y_p: Σ|y_c|², Σ|y_p|² and 2 Σ y_c·y_p over pictures, pixels and depth, as shares of Σ|y|². They add
    up to 1; the last is negative where the two parts work against each other, and the first two can exceed 1.
    """
    y, content = precise(captured.output), torch.zeros_like(precise(captured.output))
    if captured.content is not None:
        content = apply_lambda(precise(captured.queries), precise(captured.content))
    position = y - content
    energies = (content.square(), position.square(), 2 * content * position)
    return (
        torch.stack([energy.sum(dim=(0, 2, 3)) for energy in energies], dim=1) / y.square().sum(dim=(0, 2, 3))[:, None]
    )


def similarity(captured: Captured, picture: int, among: str = "heads") -> Tensor:
    """Return how alike the maps of heads, or of copies u, are: the cosine of their total weights over all n and m.

    Args:
        captured: one layer's record.
        picture: which picture of the batch.
        among: "heads" (h, h), the copies side by side; or "copies" (u, u), the heads side by side.

    Raises:
        UserError: if there is no such picture, or neither heads nor copies are asked for.
    """
    check_part(among, ("heads", "copies"))
    products = 0.0
    for _, implied in implied_tiles(captured, picture):
        maps = implied.total.transpose(0, 2) if among == "copies" else implied.total
        products = products + maps.flatten(1) @ maps.flatten(1).T
    sizes = products.diagonal().sqrt()
    return products / (sizes[:, None] * sizes)


def check_part(part: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not one of a few.

    Raises:
        UserError: naming them.
    """
    if part not in allowed:
        raise UserError(f"no part '{part}'; give {', '.join(allowed)}")
