"""The identity that makes lambdas visible, checked a query at a time: y_n = Σ_mu a_nmu V_mu (+ q_n·bias)."""

import torch
from reference import positions, relative_error

from lambdalab.capture import Captured, implied_attention


def rebuilt(captured: Captured, pictures=None, heads=None, pixels=None) -> dict[tuple, torch.Tensor]:
    """Σ_mu a_nmu V_mu (+ q_n·bias), (v,), by picture, head and pixel: the identity, one query at a time."""
    b, h = captured.queries.shape[:2]
    made = {}
    for i in pictures or range(b):
        for head in heads or range(h):
            for pixel in pixels or positions(captured.size):
                n = pixel[0] * captured.size[1] + pixel[1]
                weights = implied_attention(captured, i, head, pixel).total.flatten(1)  # (u, m)
                y = (weights.T.unsqueeze(2) * captured.values[i]).sum(dim=(0, 1))
                if captured.bias is not None:
                    y = y + (captured.queries[i, head, n] * captured.bias).sum()
                made[i, head, n] = y
    return made


def check_identity(captured: Captured, **chosen) -> None:
    made = rebuilt(captured, **chosen)
    expected = torch.stack([captured.output[key] for key in made])
    assert expected.abs().max() > 0
    assert relative_error(torch.stack(list(made.values())), expected) <= 1e-10


def corners(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Pixels where a mistake at a border, or of row and column, would show."""
    height, width = size
    return sorted({(0, width - 1), (height // 2, width // 3), (height - 1, 0)})
