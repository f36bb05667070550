"""The cost explorer without a kernel: knobs move bars; and the figures it and notebook 04 draw."""

import matplotlib
import pytest

matplotlib.use("Agg")

from lambdalab.cost import Cost, compare_layers
from lambdalab.explorers import CostExplorer
from lambdalab.figures import (
    new_axes,
    plot_claims,
    plot_costs,
    plot_power_laws,
    plot_rates,
    plot_shares,
    plot_timings,
)
from lambdalab.timing import Timing


@pytest.fixture(scope="module")
def explorer():
    return CostExplorer(dim=32, side=8, batch=1)


@pytest.mark.parametrize(
    ("knob", "value"), [("side", 16), ("batch", 4), ("dim_k", 8), ("heads", 2), ("dim_u", 2), ("scope", 3)]
)
def test_each_knob_moves_the_bars(explorer, knob, value):
    before, start = bytes(explorer.picture.value), explorer.controls[knob].value
    explorer.controls[knob].value = value
    after = bytes(explorer.picture.value)
    assert after.startswith(b"\x89PNG") and after != before
    explorer.controls[knob].value = start
    assert bytes(explorer.picture.value) == before


def test_global_scope_sums_over_all_pairs():
    explorer = CostExplorer(dim=32, side=32, batch=1, scope=7)
    assert "49 context positions" in explorer.text.value
    explorer.controls["scope"].value = 0
    assert "1,024 context positions" in explorer.text.value


def test_text_puts_the_numbers_into_the_formulas():
    explorer = CostExplorer(dim=32, side=8, batch=2, heads=4, dim_k=16)
    assert "2·4·64² = 32,768" in explorer.text.value and "2·64·16·8 = 16,384" in explorer.text.value
    explorer.controls["batch"].value = 4
    assert "4·4·64² = 65,536" in explorer.text.value


def test_offers_heads_that_divide_the_channels():
    assert CostExplorer(dim=12, heads=4).controls["heads"].options == (1, 2, 4)


def bars(ax) -> list[float]:
    return [bar.get_width() for bar in ax.patches]


def test_bars_are_as_long_as_the_costs():
    costs = compare_layers(32, 8)
    axes = new_axes(9, 2, columns=3)
    assert plot_costs(costs, axes) is axes[-1]
    assert bars(axes[0]) == [cost.parameters for cost in costs.values()]
    assert bars(axes[1]) == [cost.macs for cost in costs.values()]
    assert bars(axes[2]) == pytest.approx([cost.activations * 4e-6 for cost in costs.values()])


def test_equal_costs_are_drawn():
    plot_costs({"one": Cost(10, 10, 10), "other": Cost(10, 10, 10)})


def test_power_laws_are_drawn_with_guides_through_the_last_point():
    ax = plot_power_laws([64, 256], {"a": ([1.0, 4.0], [0.5, 3.0], [2.0, 5.0])}, guides={"a": [10, 20]})
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert [1.0, 4.0] in drawn and [2.0, 4.0] in drawn
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_rates_are_drawn_from_zero_below_the_roof():
    ax = plot_rates([4, 8, 16], {"one": [1.0, 2.0, 9.0], "other": [3.0, 4.0, 8.0]}, roof=10)
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 2, 9], [3, 4, 8], [10, 10]]
    assert ax.get_ylim()[0] == 0 and list(ax.get_xticks()) == [0, 8, 16]


def test_timings_are_drawn_as_medians():
    timings = {2: {"a": Timing([1, 2, 9], [0, 0, 0])}, 4: {"a": Timing([8, 8, 8], [1, 1, 1])}}
    assert list(plot_timings(timings, "forward").lines[0].get_ydata()) == [2, 8]
    ax = plot_timings(timings, "both")
    assert list(ax.lines[0].get_ydata()) == [2, 9] and list(ax.lines[0].get_xdata()) == [4, 16]


def test_claims_stand_beside_their_recount():
    ax = plot_claims({"a": (1.0, 2.0), "b": (3.0, 4.0)})
    assert sorted(bar.get_height() for bar in ax.patches) == [1, 2, 3, 4]


def test_shares_are_relative_to_the_first_layer():
    ax = plot_shares({"work": {"conv": 4, "lambda": 8}, "time": {"conv": 10, "lambda": 5}})
    assert [bar.get_y() + bar.get_height() for bar in ax.patches] == [2, 0.5]
