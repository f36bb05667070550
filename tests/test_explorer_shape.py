"""The explorer of costs without a kernel: sliders move, picture and formulas follow, and the formulas say the truth."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdalab.explorers import ShapeExplorer
from lambdalab.explorers.shape import compare, explain
from lambdalab.formulas import Count, Shape, count_attention, count_lambda

START = Shape(n=64, m=64, k=16, v=8, h=4, b=32)
size = st.integers(1, 300)


@pytest.fixture(scope="module")
def explorer() -> ShapeExplorer:
    return ShapeExplorer(START)


def test_starts_where_it_was_told_to(explorer):
    assert explorer.values == {letter: value for letter, value in vars(START).items() if letter != "u"}
    assert bytes(explorer.picture.value).startswith(b"\x89PNG")
    assert explorer.text.value == explain(START)


@pytest.mark.parametrize("letter", ["n", "m", "k", "v", "h", "b"])
def test_each_slider_moves_the_picture_and_the_numbers(explorer, letter):
    picture, text = explorer.picture.value, explorer.text.value
    explorer.controls[letter].value *= 2
    assert explorer.picture.value != picture and explorer.text.value != text
    explorer.controls[letter].value //= 2
    assert explorer.picture.value == picture and explorer.text.value == text


def test_a_start_beyond_the_sliders_ends_is_kept():
    assert ShapeExplorer(Shape(n=5000, m=64, k=16, v=8)).values["n"] == 5000


@given(st.builds(Shape, n=size, m=size, k=size, v=size, h=size, b=size))
def test_the_numbers_put_in_give_the_totals(shape):
    """What stands between '=' and '=' is worked out, and has to give what stands behind; totals are the formulas'."""
    rows = re.findall(r">= ([\d·+() ]+) = <b>([\d,]+)</b>", explain(shape))
    totals = [int(total.replace(",", "")) for _, total in rows]
    assert [eval(put_in.replace("·", "*")) for put_in, _ in rows] == totals
    attention, lambdas = count_attention(shape), count_lambda(shape)
    assert totals == [attention.numbers, lambdas.numbers, attention.multiply_adds, lambdas.multiply_adds]


def test_says_which_one_is_larger_and_by_how_much():
    said = compare(Count(multiply_adds=10, numbers=30), Count(multiply_adds=40, numbers=10))
    assert said == "Here the lambda layer stores 3 times less than attention, and multiplies 4 times more than it does."
    assert "stores exactly as much as attention" in compare(Count(1, 1), Count(2, 1))
