"""Measuring: layers take turns on one thread, what is reported is the median, and slopes are exponents."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lambdalab import UserError, tiles
from lambdalab.contraction import map_first
from lambdalab.cuts import Tiling
from lambdalab.timing import Timing, one_thread, slope, teach_flop_counter, time_layers


@given(power=st.floats(-3, 3), factor=st.floats(1e-3, 1e3))
def test_slope_finds_the_exponent(power, factor):
    assert slope([4, 9, 100], [factor * x**power for x in (4, 9, 100)]) == pytest.approx(power, abs=1e-6)


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.calls, self.threads = nn.Parameter(torch.ones(())), 0, set()

    def forward(self, x):
        self.calls += 1
        self.threads.add(torch.get_num_threads())
        return x * self.weight


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("seconds", "rounds", "counted"), [(60, 5, 4), (0, 2, 2)])
def test_layers_are_timed_in_turn_with_one_thread(seconds, rounds, counted, two_threads):
    one, two = Counter(), Counter()
    timings = time_layers({"one": (one, torch.ones(3)), "two": (two, torch.ones(3))}, 4, seconds)
    assert (one.calls, two.calls) == (rounds, rounds) and one.threads == {1}
    assert all(len(timing.forward) == len(timing.backward) == counted for timing in timings.values())
    assert torch.get_num_threads() == 2


def test_one_thread_is_undone_after_an_error(two_threads):
    with pytest.raises(ValueError), one_thread():
        raise ValueError
    assert torch.get_num_threads() == 2


def test_median_and_quartiles():
    timing = Timing([1.0, 5.0, 2.0], [0.0, 1.0, 1.0])
    assert timing.median("forward") == 2 and timing.median() == 3
    assert timing.quartiles("forward") == (1.5, 3.5)


def test_no_repeats_are_refused():
    with pytest.raises(UserError, match="repeats must be at least 1, got 0"):
        time_layers({}, 0)


TILINGS = [
    Tiling(5, 6, "pictures", 3),
    Tiling(2, 4, "pictures", 2),
    Tiling(1, 4, "rows", 2),
    Tiling(2, 3, "rows", 9),
]


@pytest.mark.parametrize("u", [1, 2])
@pytest.mark.parametrize("tiling", TILINGS, ids=str)
def test_the_flop_counter_sees_the_products_inside_the_map_first_operator(tiling, u):
    """Against the same tiles as plain products, which PyTorch's counter knows by itself."""
    teach_flop_counter()
    queries, values, embedding = torch.randn(3, 5, 6, 2, 3), torch.randn(3, 5, 6, u, 7), torch.randn(3, u, 5, 5)
    inputs = [each.requires_grad_() for each in (queries, values, embedding)]
    with FlopCounterMode(display=False) as plain:
        tiles.position_term(*(each.detach() for each in inputs), tiling)
    with FlopCounterMode(display=False) as counted:
        y = map_first(*inputs, tiling)
    assert counted.get_total_flops() == plain.get_total_flops() > 0
    with FlopCounterMode(display=False) as plain:
        tiles.position_term_gradients(torch.ones_like(y), *(each.detach() for each in inputs), tiling)
    with FlopCounterMode(display=False) as counted:
        y.sum().backward()
    assert counted.get_total_flops() == plain.get_total_flops() > 0
