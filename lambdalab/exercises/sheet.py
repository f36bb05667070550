"""Exercise 01: a lambda by hand, on a sheet of numbers small enough for paper.

Every sheet number has other numbers, drawn so that each common mistake gives another result than the right sums and
than each other mistake. Powers are of 2, as in notebook 01: softmax becomes 2^key over its sum.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lambdalab.equations import apply_lambda, content_lambda, position_lambda, relative_embeddings
from lambdalab.errors import UserError
from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Mistake, Task, judge_value, tells_apart

ASKED = 1  # the query position, counted from 0: the one in the middle, which has two neighbours


@dataclass(frozen=True)
class Sheet:
    """Numbers for one lambda: m = 3 positions, k = 2, v = 2, and offsets −1, 0, +1."""

    keys: Tensor  # (m, k)
    values: Tensor  # (m, v)
    table: Tensor  # (k, r): E for each offset, from −1 to +1
    query: Tensor  # (k,), of the position in the middle

    def __repr__(self) -> str:
        lines = ["position m   key K_m   value V_m      offset m − n   embedding E"]
        for m, (key, value, entry) in enumerate(zip(self.keys, self.values, self.table.T, strict=True)):
            lines.append(f"{m:>6}     {_pair(key):>9}   {_pair(value):>8} {m - 1:>14}       {_pair(entry):>10}")
        return "\n".join([*lines, f"query q of position n = {ASKED}: {_pair(self.query)}"])


def draw_sheet(number: int) -> Sheet:
    """Return the sheet with this number, the same everywhere.

    Raises:
        UserError: if the number is not a whole number of at least 1.
    """
    if not isinstance(number, int) or number < 1:
        raise UserError(f"a sheet's number is a whole number of at least 1, got {number!r}")
    fresh = Fresh(number)
    for _ in range(1000):
        columns = [fresh.choice([(0, 0, 1), (0, 1, 0), (1, 0, 0)]) for _ in range(2)]
        values, table = [[float(fresh.whole(low, high)) for _ in range(6)] for low, high in ((0, 3), (-1, 2))]
        sheet = Sheet(
            keys=torch.tensor(columns).T.double(),
            values=4 * torch.tensor(values).reshape(3, 2).double(),
            table=torch.tensor(table).reshape(2, 3).double(),
            query=torch.tensor([fresh.choice([1.0, 2.0]), fresh.choice([-1.0, 3.0])]).double(),
        )
        dull = columns[0] == columns[1] or not (sheet.table.any(dim=0).all() and sheet.values.any(dim=1).all())
        if not dull and all(tells_apart(task, (sheet,)) for task in TASKS):
            return sheet
    raise AssertionError(f"no sheet {number} in a thousand draws")


def check_weights(sheet: Sheet, answer: object) -> Feedback:
    """Check K̄, the softmax of the keys over the positions, (m, k): three rows of two numbers."""
    return judge_value(WEIGHTS, answer, (sheet,))


def check_content(sheet: Sheet, answer: object) -> Feedback:
    """Check the content lambda λc, (k, v): two rows of two numbers."""
    return judge_value(CONTENT, answer, (sheet,))


def check_position(sheet: Sheet, answer: object) -> Feedback:
    """Check the position lambda of the position in the middle, (k, v): two rows of two numbers."""
    return judge_value(POSITION, answer, (sheet,))


def check_output(sheet: Sheet, answer: object) -> Feedback:
    """Check y of the position in the middle, (v,): two numbers."""
    return judge_value(OUTPUT, answer, (sheet,))


def _weights(sheet: Sheet) -> Tensor:
    return (math.log(2) * sheet.keys).softmax(dim=0)


def _content(sheet: Sheet) -> Tensor:
    return content_lambda(math.log(2) * sheet.keys[None], sheet.values[None])[0]


def _position(sheet: Sheet, n: int = ASKED, mirrored: bool = False) -> Tensor:
    """λp of one position, (k, v)."""
    embeddings = relative_embeddings((sheet.table.flip(1) if mirrored else sheet.table)[:, None], (3,))
    return position_lambda(embeddings, sheet.values[None, :, None])[0, n]


def _output(sheet: Sheet, matrix: Tensor) -> Tensor:
    return apply_lambda(sheet.query[None, None, None], matrix[None])[0, 0, 0]


def _pair(numbers: Tensor) -> str:
    return " ".join(f"{number:3.0f}" for number in numbers.tolist())


_POWERS = "2⁰ = 1 and 2¹ = 2. Divide each power by the sum of its own column."
WEIGHTS = Task(
    right=_weights,
    axes="m k",
    praise="Each column is a set of weights with sum 1.",
    hint="Take one column of keys: its powers of two, then their sum, then each power over the sum.",
    mistakes=(
        Mistake(
            "the softmax over the wrong axis: over k, so that the rows have sum 1",
            lambda sheet: (math.log(2) * sheet.keys).softmax(dim=1),
            "A weight says how much one position counts among all positions.",
            "Add up your columns: each must give 1, since a column runs over the positions m.",
        ),
        Mistake("powers not divided by their sum", lambda sheet: 2**sheet.keys, "Weights have sum 1.", _POWERS),
        Mistake(
            "keys divided by their sum, without powers",
            lambda sheet: sheet.keys / sheet.keys.sum(dim=0),
            "A softmax takes powers first: no weight is ever 0.",
            _POWERS,
        ),
        Mistake(
            "powers of e",
            lambda sheet: sheet.keys.softmax(dim=0),
            "Right in every other book. On this sheet we write 2 where they write e.",
            _POWERS,
        ),
    ),
)
CONTENT = Task(
    right=_content,
    axes="k v",
    praise="Each row is a weighted mean of the values.",
    hint="Row 0 of λc uses column 0 of your weights: weight × value, added over the three positions.",
    mistakes=(
        Mistake(
            "a transposed result, (v, k)",
            lambda sheet: _content(sheet).T,
            "Which letter counts the rows, and which the columns?",
            "λc = Σ K̄ₘ Vₘᵀ: the weights choose the row (k), the values the column (v).",
        ),
        Mistake(
            "keys that went through no softmax",
            lambda sheet: sheet.keys.T @ sheet.values,
            "Weigh the values with the weights of step 1, not with the keys.",
        ),
        Mistake(
            "the softmax over the wrong axis",
            lambda sheet: (math.log(2) * sheet.keys).softmax(dim=1).T @ sheet.values,
            "Use the weights of step 1 whose columns have sum 1.",
        ),
        Mistake(
            "powers not divided by their sum",
            lambda sheet: (2**sheet.keys).T @ sheet.values,
            "A mean stays between the smallest and the largest value; yours does not.",
            "Divide by 4, the sum of the powers of a column.",
        ),
    ),
)
POSITION = Task(
    right=_position,
    axes="k v",
    praise="The table moves along: its middle row belongs to the position that asks.",
    hint="For each position m of the three: offset m − 1, its row of E, times the value of m. Then add.",
    mistakes=(
        Mistake(
            "offsets mirrored: n − m in the place of m − n",
            lambda sheet: _position(sheet, mirrored=True),
            "Which offset has the neighbour on the left?",
            "m = 0 lies left of n = 1: its offset is 0 − 1 = −1, the first row of E.",
        ),
        Mistake(
            "positions counted from 1: this is λp of position 0",
            lambda sheet: _position(sheet, n=0),
            "Positions are counted from 0 here, so position 1 is the one in the middle.",
        ),
        Mistake(
            "a transposed result, (v, k)",
            lambda sheet: _position(sheet).T,
            "E chooses the row (k), the value the column (v).",
        ),
    ),
)
OUTPUT = Task(
    right=lambda sheet: _output(sheet, _content(sheet) + _position(sheet)),
    axes="v",
    praise="A matrix made from the context, applied to a query: that is all a lambda layer does.",
    hint="Add λc and λp first. Then y = λᵀq: each column of λ times the query.",
    mistakes=(
        Mistake(
            "λq in the place of λᵀq",
            lambda sheet: (_content(sheet) + _position(sheet)) @ sheet.query,
            "λ is k×v and q has k numbers: which side of λ do they meet?",
            "y has one number for each column v: Σ over k of λ[k, v] · q[k].",
        ),
        Mistake(
            "the content lambda alone",
            lambda sheet: _output(sheet, _content(sheet)),
            "There are two lambdas, and they are added.",
        ),
        Mistake(
            "the position lambda alone",
            lambda sheet: _output(sheet, _position(sheet)),
            "There are two lambdas, and they are added.",
        ),
    ),
)
TASKS = (WEIGHTS, CONTENT, POSITION, OUTPUT)
