"""The figures of notebook 04 about orders: pairs against sums by loop, areas against real tensors, choices, rates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

from lambdalab import cuts
from lambdalab.choices import ORDERS, Choice, alternatives, choose
from lambdalab.cost import pairs
from lambdalab.cuts import Tiling
from lambdalab.equations import relative_embeddings
from lambdalab.figures.orders import (
    colour_of,
    formed,
    multiplied,
    plot_crossovers,
    plot_orders,
    plot_predictions,
    plot_roofline,
    plot_steps,
)
from lambdalab.planner import Plan
from lambdalab.work import Shape, Work

SHAPE = Shape(2, 4, 5, 3, 6, 2, 2, window=(3, 5), training=False)
shapes = st.builds(
    lambda batch, height, width, reach: Shape(batch, height, width, 3, 4, 2, 1, (2 * reach + 1,) * 2, training=False),
    st.integers(1, 4),
    st.integers(2, 7),
    st.integers(2, 7),
    st.integers(0, 2),
)
tilings = st.builds(
    Tiling, st.integers(1, 5), st.integers(1, 5), st.sampled_from(["pictures", "rows"]), st.integers(1, 4)
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def way_of(order: str, tiling: Tiling | None = None, **values) -> Choice:
    return Choice(order, tiling, Work(), 0, values.pop("seconds", 1.0), **values)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, tiling=tilings)
def test_tiles_cover_every_pair_in_scope_and_no_more_than_they_multiply(shape, tiling):
    size = shape.height, shape.width
    grid = multiplied(shape, way_of("banded", tiling))
    assert (grid == 2).sum() == pairs(size, shape.window[0], "inside")
    # What a tile multiplies, counted by the products of one picture; windows may hold rows of padding besides.
    done = 0
    values = torch.Size((1, *size, 1, shape.dim_v))
    for strip in cuts.strips(values, torch.Size((3, 1, *shape.window)), tiling):
        for tile in cuts.tiles(values, strip, tiling):
            blocks = tile.block.stop - tile.block.start if isinstance(tile.block, slice) else 1
            queries = strip.rows * (strip.right - strip.left)
            done += blocks * queries * (tile.below - tile.above) * (strip.last - strip.first)
    assert (grid > 0).sum() <= done


@settings(max_examples=20, deadline=None)
@given(shape=shapes)
def test_all_pairs_and_windows(shape):
    size, r = (shape.height, shape.width), shape.window[0]
    n = size[0] * size[1]
    for order in ("lambda", "dense"):
        grid = multiplied(shape, way_of(order))
        assert grid.shape == (n, n) and (grid > 0).all() and (grid == 2).sum() == pairs(size, r, "inside")
    grid = multiplied(shape, way_of("convolve"))
    assert grid.shape == (n, r * r) and (grid > 0).all() and (grid == 2).sum() == pairs(size, r, "inside")


def test_what_is_formed_has_the_size_of_the_real_tensors():
    spread = relative_embeddings(torch.zeros(3, 2, 3, 5), (4, 5))
    lambdas = 2 * 20 * 3 * 6
    assert list(formed(SHAPE, way_of("lambda")).values()) == [spread.numel(), lambdas]
    assert list(formed(SHAPE, way_of("convolve")).values()) == [lambdas, lambdas]
    whole = formed(SHAPE, way_of("dense", Tiling(4, 5, "pictures", 2)))
    assert list(whole.values()) == [spread.numel(), 2 * 2 * 20 * 20 * 2]
    # One row of 5 queries, both pictures: it sees up to 3 rows of 5 columns, read u = 2 times.
    band = formed(SHAPE, way_of("banded", Tiling(1, 5, "pictures", 2)))
    assert list(band.values()) == [5 * 3 * 5 * 2 * 3, 2 * 2 * 5 * 3 * 5 * 2]


def test_orders_are_drawn_side_by_side_to_one_scale():
    ways = alternatives(SHAPE)
    last = plot_orders(SHAPE, ways)
    above, below = np.array(last.get_figure().axes).reshape(2, 4)
    assert [ax.get_title().split("\n")[0] for ax in above] == list(ORDERS)
    for ax, order in zip(below, ORDERS, strict=True):
        areas = [square.get_width() * square.get_height() for square in ax.patches]
        assert areas == pytest.approx(list(formed(SHAPE, choose(SHAPE, order)).values()))
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in below}) == 1


def test_crossovers_have_a_letter_and_a_colour_for_each_choice():
    orders = {(4, 3): "lambda", (8, 3): "convolve", (4, 7): "dense", (8, 7): "banded"}
    last = plot_crossovers({"one": orders, "other": dict.fromkeys(orders, "dense")})
    first, second = last.get_figure().axes
    assert first.images[0].get_array().tolist() == [[0, 1], [2, 3]]
    assert [text.get_text() for text in first.texts] == ["L", "C", "D", "B"]
    assert [text.get_text() for text in second.texts] == ["D"] * 4
    assert [text.get_text() for text in last.get_legend().get_texts()] == [f"{o[0].upper()}: {o}" for o in ORDERS]
    assert len({colour_of(order) for order in ORDERS}) == 4


def test_predictions_are_drawn_against_measurements_and_the_choice_is_ringed():
    slow, quick = way_of("convolve", seconds=3.0, measured=4.0), way_of("lambda", seconds=1.0, measured=2.0)
    unmeasured = way_of("dense", seconds=99.0)
    ax = plot_predictions([Plan(SHAPE, quick, (quick, slow, unmeasured))])
    lines = {line.get_label(): line for line in ax.lines}
    drawn = {name: (list(line.get_xdata()), list(line.get_ydata())) for name, line in lines.items()}
    assert drawn["convolve"] == ([3000], [4000]) and drawn["chosen"] == drawn["lambda"] == ([1000], [2000])
    assert drawn["dense"] == ([], []) and lines["as predicted"].get_xdata().max() == 4000


def test_the_roof_is_memorys_slope_and_then_flat():
    ax = plot_roofline({"lambda": (8e9, 1e9, 2.0), "banded": (4e9, 1e8, 1.0)}, multiplied_at=2e10, copied_at=1e9)
    roof, first, second = ax.lines
    x, y = roof.get_xdata(), roof.get_ydata()
    assert y.max() == pytest.approx(20) and y[0] == pytest.approx(x[0]) and x[0] < 8 and x[-1] > 40
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in (first, second)] == [(8, 4), (40, 4)]


def test_steps_are_stacked():
    ax = plot_steps({"a": (1.0, 2.0), "b": (3.0, 5.0)})
    assert [bar.get_width() for bar in ax.patches] == [1, 3, 2, 5]
    assert [bar.get_x() for bar in ax.patches] == [0, 0, 1, 3]
    assert [text.get_text().strip() for text in ax.texts] == ["3", "8"]
