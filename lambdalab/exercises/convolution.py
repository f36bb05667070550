"""Exercise 03, pictures: the position lambda as a convolution."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.equations import position_lambda, relative_embeddings
from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Example, Mistake, Task, judge_function


def check_convolution(answer: object) -> Feedback:
    """Check a function of a table (k, u, r, r), values (b, m, u, v) and (H, W) that returns λp, (b, n, k, v)."""
    return judge_function(CONVOLUTION, answer)


def _pictures(table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    return position_lambda(relative_embeddings(table, size), values)


def _convolved(table: Tensor, values: Tensor, size: tuple[int, int], mode: str = "zeros") -> Tensor:
    """λp by a convolution whose border is padded in some way, or not at all ("none")."""
    b, _, u, v = values.shape
    maps = values.permute(0, 3, 2, 1).reshape(b * v, u, *size)
    if mode == "circular":
        maps = F.pad(maps, (table.shape[-1] // 2,) * 4, mode="circular")
    padding = table.shape[-1] // 2 if mode == "zeros" else 0
    return F.conv2d(maps, table, padding=padding).flatten(2).unflatten(0, (b, v)).permute(0, 3, 2, 1)


def _mixed(table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """The values' two letters read in the wrong order: (v, u) in the place of (u, v)."""
    b, m, u, v = values.shape
    return _pictures(table, values.reshape(b, m, v, u).transpose(2, 3), size)


def _unmoved(table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Values reshaped to maps without moving the positions behind the channels first."""
    b, _, u, v = values.shape
    maps = values.reshape(b * v, u, *size)
    return _convolved(table, maps.unflatten(0, (b, v)).flatten(3).permute(0, 3, 2, 1), size)


def _draw_pictures(fresh: Fresh) -> tuple:
    b, u, k, v = fresh.sizes(4, 2, 5)
    size = tuple(fresh.sizes(2, 5, 8))
    r = fresh.choice([3, 5])
    return fresh.numbers(k, u, r, r), fresh.numbers(b, size[0] * size[1], u, v), size


def _one(*numbers: float) -> Tensor:
    """Values of one picture with u = v = 1: (1, m, 1, 1)."""
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, -1, 1, 1)


_MAPS = "values.permute(0, 3, 2, 1).reshape(b * v, u, H, W): each of the b·v value channels is a picture of u copies."
_BACK = "The convolution gives (b·v, k, H, W): reshape to (b, v, k, n), then permute(0, 3, 2, 1)."
CONVOLUTION = Task(
    right=_pictures,
    praise="The embeddings were never spread over the pairs: the table is the filter.",
    hint=f"{_MAPS} The table is the filters (k, u, r, r). {_BACK}",
    axes="b n k v",
    names=("table", "values", "size"),
    draw=_draw_pictures,
    mistakes=(
        Mistake(
            "offsets mirrored: the table turned round",
            lambda table, values, size: _pictures(table.flip(2, 3), values, size),
            "F.conv2d does not turn its filter round, and neither does the sum over m − n.",
            "Use the table as it is: no flip.",
        ),
        Mistake(
            "rows and columns of the table swapped",
            lambda table, values, size: _pictures(table.transpose(2, 3), values, size),
            "The table's third axis goes down, its fourth to the right.",
            "Use the table as it is: no transpose.",
        ),
        Mistake(
            "no padding: positions at the border got lost",
            lambda table, values, size: _convolved(table, values, size, "none"),
            "How many λ come out, and how many positions are there?",
            "padding=r // 2 gives every position a window.",
        ),
        Mistake(
            "a border that wraps around",
            lambda table, values, size: _convolved(table, values, size, "circular"),
            "Beyond the picture there is nothing: those positions add 0.",
            "padding=r // 2 and no circular mode.",
        ),
        Mistake(
            "height and width swapped",
            lambda table, values, size: _pictures(table, values, size[::-1]),
            "Positions are counted row by row, and size is (height, width).",
            _MAPS,
        ),
        Mistake(
            "the order of u mixed: values read as (v, u) in the place of (u, v)",
            _mixed,
            "Reshaping does not move anything; permute does.",
            _MAPS,
        ),
        Mistake(
            "a reshape where a permute was needed: positions taken for channels",
            _unmoved,
            "Reshaping does not move anything: bring the axes into order first.",
            _MAPS,
        ),
        Mistake(
            "a transposed result, (b, n, v, k)",
            lambda table, values, size: _pictures(table, values, size).transpose(2, 3),
            "The sums are right. Which letter comes first, k or v?",
            _BACK,
        ),
    ),
    examples=(
        Example(
            "One pixel sees itself alone, by the entry in the middle.",
            (torch.arange(1.0, 10).double().reshape(1, 1, 3, 3), _one(10), (1, 1)),
        ),
        Example(
            "Two pixels side by side: the left one sees the right one by the entry right of the middle.",
            (torch.arange(1.0, 10).double().reshape(1, 1, 3, 3), _one(10, 100), (1, 2)),
        ),
    ),
)
