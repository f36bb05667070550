"""Exercise 01's sheets: whatever the number, sums by hand are right, and mistakes are called by their names."""

import pytest

from lambdalab.errors import UserError
from lambdalab.exercises import draw_sheet, sheet

ON_SHEETS = {"check_weights": "WEIGHTS", "check_content": "CONTENT", "check_position": "POSITION"}
ON_SHEETS |= {"check_output": "OUTPUT"}


def check(name: str):
    return getattr(sheet, name)


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("name", ON_SHEETS)
def test_a_sheet_is_checked_against_sums_by_hand(name, number):
    drawn = draw_sheet(number)
    powers = [[2**key for key in row] for row in drawn.keys.tolist()]
    totals = [sum(column) for column in zip(*powers, strict=True)]
    values, table, query = drawn.values.tolist(), drawn.table.tolist(), drawn.query.tolist()
    weights = [[power / total for power, total in zip(row, totals, strict=True)] for row in powers]
    content = [[sum(weights[m][k] * values[m][v] for m in range(3)) for v in range(2)] for k in range(2)]
    position = [[sum(table[k][m] * values[m][v] for m in range(3)) for v in range(2)] for k in range(2)]
    y = [sum((content[k][v] + position[k][v]) * query[k] for k in range(2)) for v in range(2)]
    answers = dict(zip(ON_SHEETS, (weights, content, position, y), strict=True))
    assert check(name)(drawn, answers[name])
    assert not all(check(name)(draw_sheet(number + more), answers[name]) for more in (1, 2, 3)), "stored"


SHEET_MISTAKES = {
    ("check_weights", "the softmax over the wrong axis"): lambda s: (2**s.keys) / (2**s.keys).sum(1, keepdim=True),
    ("check_weights", "powers not divided by their sum"): lambda s: (2**s.keys).tolist(),
    ("check_weights", "keys divided by their sum"): lambda s: s.keys / s.keys.sum(0),
    ("check_weights", "powers of e"): lambda s: s.keys.softmax(0),
    ("check_content", "a transposed result"): lambda s: ((2**s.keys / 4).T @ s.values).T,
    ("check_content", "keys that went through no softmax"): lambda s: s.keys.T @ s.values,
    ("check_content", "the softmax over the wrong axis"): lambda s: (
        ((2**s.keys) / (2**s.keys).sum(1, keepdim=True)).T @ s.values
    ),
    ("check_content", "powers not divided by their sum"): lambda s: (2**s.keys).T @ s.values,
    ("check_position", "offsets mirrored"): lambda s: s.table.flip(1) @ s.values,
    ("check_position", "positions counted from 1"): lambda s: s.table[:, 1:] @ s.values[:2],
    ("check_position", "a transposed result"): lambda s: (s.table @ s.values).T,
    ("check_output", "λq in the place of λᵀq"): lambda s: ((2**s.keys / 4).T @ s.values + s.table @ s.values) @ s.query,
    ("check_output", "the content lambda alone"): lambda s: s.query @ ((2**s.keys / 4).T @ s.values),
    ("check_output", "the position lambda alone"): lambda s: s.query @ (s.table @ s.values),
}


@pytest.mark.parametrize("name, mistake", SHEET_MISTAKES)
def test_mistakes_on_a_sheet_are_called_by_their_names(name, mistake):
    for number in (1, 2, 3):
        drawn = draw_sheet(number)
        feedback = check(name)(drawn, SHEET_MISTAKES[name, mistake](drawn))
        assert not feedback and mistake in feedback.message, feedback


def test_no_mistake_on_a_sheet_is_without_a_test():
    named = [(name, mistake.name) for name, task in ON_SHEETS.items() for mistake in getattr(sheet, task).mistakes]
    assert len(named) == len(SHEET_MISTAKES)
    assert all(any(name == on and each in mistake for on, each in SHEET_MISTAKES) for name, mistake in named)


@pytest.mark.parametrize("number", [0, -1, 1.5, "1"])
def test_a_sheet_that_is_none_is_refused(number):
    with pytest.raises(UserError, match="a whole number of at least 1"):
        draw_sheet(number)
