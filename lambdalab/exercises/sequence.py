"""Exercise 03, sequences: the position lambda as a loop, and of the past alone."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.equations import position_lambda, relative_embeddings
from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Example, Mistake, Task, judge_function


def check_sequence(answer: object) -> Feedback:
    """Check a function of a table (k, r), odd r, and values (m, v) that returns λp of a sequence, (n, k, v)."""
    return judge_function(SEQUENCE, answer)


def check_past(answer: object) -> Feedback:
    """Check a function of a table (k, r) for offsets −(r−1) … 0 and values (m, v) that returns λp, (n, k, v)."""
    return judge_function(PAST, answer)


def _sequence(table: Tensor, values: Tensor) -> Tensor:
    embeddings = relative_embeddings(table[:, None], (values.shape[0],))
    return position_lambda(embeddings, values[None, :, None])[0]


def _past(table: Tensor, values: Tensor) -> Tensor:
    """As ``_sequence``, with r − 1 more offsets, those of the future, whose embeddings are 0."""
    return _sequence(F.pad(table, (0, table.shape[1] - 1)), values)


def _joined(table: Tensor, values: Tensor) -> Tensor:
    maps = F.pad(values.T[:, None], (table.shape[1] // 2,) * 2, mode="circular")
    return F.conv1d(maps, table[:, None]).permute(2, 1, 0)


def _shifted(table: Tensor, values: Tensor, left: int) -> Tensor:
    """λp of windows that begin ``left`` positions before n, whatever lies beyond the ends being 0."""
    r, m = table.shape[1], values.shape[0]
    return F.conv1d(F.pad(values.T[:, None], (left, r)), table[:, None])[..., :m].permute(2, 1, 0)


def _draw_sequence(fresh: Fresh) -> tuple:
    k, m, v = fresh.sizes(3, 4, 7)
    return fresh.numbers(k, fresh.choice([3, 5])), fresh.numbers(m, v)


def _draw_past(fresh: Fresh) -> tuple:
    k, m, v = fresh.sizes(3, 4, 7)
    return fresh.numbers(k, fresh.choice([3, 4])), fresh.numbers(m, v)


def _row(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


_OFFSET = "The entry for offset m − n is table[:, m − n + r // 2]; offset −1 looks to the left."
SEQUENCE = Task(
    right=_sequence,
    praise="Every position has a λ of its own, from one table.",
    hint="Two loops, n and m. If |m − n| ≤ r // 2: add torch.outer(table[:, m − n + r // 2], values[m]) to λp of n.",
    axes="n k v",
    names=("table", "values"),
    draw=_draw_sequence,
    mistakes=(
        Mistake(
            "offsets mirrored: n − m in the place of m − n",
            lambda table, values: _sequence(table.flip(1), values),
            "A query at n that looks at the position on its left, m = n − 1: which offset is that?",
            _OFFSET,
        ),
        Mistake(
            "the table's first entry for offset 0",
            lambda table, values: _sequence(F.pad(table, (table.shape[1] - 1, 0)), values),
            "The middle entry of the table belongs to offset 0.",
            _OFFSET,
        ),
        Mistake(
            "the ends joined: what leaves on one side comes back on the other",
            _joined,
            "A negative index in Python counts from the end: values[-1] is the last one.",
            "Skip every m below 0 or beyond the last position.",
        ),
        Mistake(
            "a transposed result, (n, v, k)",
            lambda table, values: _sequence(table, values).transpose(1, 2),
            "The sums are right. Which letter comes first, k or v?",
            "torch.outer(embedding, value) has the embedding's k rows.",
        ),
    ),
    examples=(
        Example("One position sees itself alone, by the entry in the middle.", (_row(5, 7, 9), _row(2))),
        Example(
            "Two positions: the first sees its right neighbour by the last entry, the second its left by the first.",
            (_row(10, 0, 1), _row(1, 2).T),
        ),
    ),
)
PAST = Task(
    right=_past,
    praise="A convolution of the past: padded on the left alone.",
    hint="Turn values into (v, 1, m), pad r − 1 zeros on the left alone, F.conv1d with table[:, None], and permute.",
    axes="n k v",
    names=("table", "values"),
    draw=_draw_past,
    mistakes=(
        Mistake(
            "padding on both sides: the window is centred, and sees the future",
            lambda table, values: _shifted(table, values, table.shape[1] // 2),
            "The last entry of the table belongs to offset 0: no window ends beyond n.",
            "F.pad(maps, (r − 1, 0)): zeros on the left, none on the right.",
        ),
        Mistake(
            "the future in the place of the past",
            lambda table, values: _shifted(table, values, 0),
            "Pad on the other side.",
            "F.pad(maps, (r − 1, 0)): zeros on the left, none on the right.",
        ),
        Mistake(
            "offsets mirrored: the table turned round",
            lambda table, values: _past(table.flip(1), values),
            "The first entry belongs to the oldest position, r − 1 steps back.",
            "Use the table as it is: no flip.",
        ),
        Mistake(
            "every λ one step late",
            lambda table, values: _shifted(table, values, table.shape[1]),
            "A position sees itself too: offset 0 is the table's last entry.",
            "r − 1 zeros on the left, not r.",
        ),
    ),
    examples=(
        Example("One position sees itself alone, by the last entry.", (_row(5, 7), _row(2))),
        Example("Two positions: the second sees the first as well.", (_row(10, 1), _row(1, 2).T)),
    ),
)
