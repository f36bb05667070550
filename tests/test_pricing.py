"""Prices for the planner: fitted, written, read, and refused."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lambdalab import prices
from lambdalab.bench.planner import PlannerBench
from lambdalab.bench.pricing import Fitted, Timing, fit_prices, time_work, write_prices
from lambdalab.choices import ORDERS, alternatives
from lambdalab.cli import main
from lambdalab.errors import UserError
from lambdalab.work import Shape

SHAPE = Shape(2, 5, 6, 3, 4, 2, 1, (5, 5))


@pytest.fixture
def own_prices(monkeypatch):
    """Point LAMBDALAB_PRICES at a file; nothing of it is left afterwards."""

    def use(path):
        monkeypatch.setenv("LAMBDALAB_PRICES", str(path))
        prices.read_prices.cache_clear()
        alternatives.cache_clear()

    yield use
    prices.read_prices.cache_clear()
    alternatives.cache_clear()


@given(st.lists(st.floats(1e-12, 1e-3), min_size=3, max_size=3), st.randoms(use_true_random=False))
def test_exact_timings_give_their_prices_back(true, random):
    works = [Counter({unit: random.randint(1, 1000) * (random.random() < 0.7) for unit in "abc"}) for _ in range(40)]
    works = [Counter({unit: 1}) for unit in "abc"] + [work for work in works if work.total()]
    taken = [sum(price * work[unit] for unit, price in zip("abc", true, strict=True)) for work in works]
    timed = [Timing(work, seconds, min(taken)) for work, seconds in zip(works, taken, strict=True)]
    fitted = fit_prices(timed)
    assert fitted.timings == len(timed) and fitted.error < 1e-6
    assert [fitted.prices[unit] for unit in "abc"] == pytest.approx(true, rel=6e-3)  # three digits are kept


def test_what_costs_nothing_or_less_gets_no_price():
    timed = [(Counter(a=1), 1.0), (Counter(a=2), 2.0), (Counter(a=1, b=1), 0.9), (Counter(a=1, c=0), 1.0)]
    assert set(fit_prices([Timing(*each, quickest=0.9) for each in timed]).prices) == {"a"}


def test_a_way_far_slower_than_the_best_counts_for_less():
    # One unit took 1 s in the best way and 200 s of 100 in another: without weights its price would lie between.
    assert fit_prices([Timing(Counter(a=1), 1.0, 1.0), Timing(Counter(a=100), 200.0, 1.0)]).prices["a"] == 1.0


def test_every_order_and_more_tilings_are_timed():
    timed = time_work([SHAPE], PlannerBench(repeats=1, seconds=0))
    assert len(timed) > len(ORDERS) and all(each.seconds >= each.quickest > 0 for each in timed)
    of_orders = [way.work for way in alternatives(SHAPE)]
    assert [each.work for each in timed][: len(of_orders)] == of_orders


def test_written_prices_are_read_and_decide(tmp_path, own_prices):
    """Where everything but the convolution is dear, it is chosen."""
    path = tmp_path / "prices.json"
    found = {unit: 1.0 for way in alternatives(SHAPE) for unit in way.work}
    found |= {unit: 1e-12 for way in alternatives(SHAPE) for unit in way.work if way.order == "convolve"}
    write_prices(path, Fitted(found, 0.1, 7), "cpu")
    assert "7 timings" in json.loads(path.read_text())["cpu"]["what"]
    shipped = prices.read_prices()
    own_prices(path)
    assert alternatives(SHAPE)[0].order == "convolve"
    assert prices.read_prices() == shipped | {"cpu": found}  # a GPU's stay


def test_what_has_no_price_is_not_free(tmp_path, own_prices):
    """As the compiled kernel, once asked for, in prices that were fitted without it."""
    path = tmp_path / "prices.json"
    write_prices(path, Fitted({"tile": 1.0}, 0.1, 7), "cpu")
    own_prices(path)
    assert prices.price(Counter(tile=2, compiled=1), "cpu") == 2 and prices.price(Counter(), "cpu") == 0
    with pytest.raises(UserError, match=r"prices\.json, which has no price for 'compiled'; unset it and fit anew"):
        prices.price(Counter(compiled=1), "cpu")


def test_the_command_fits_what_it_times(tmp_path, own_prices):
    path = tmp_path / "prices.json"
    command = ["bench", "planner", "--shapes", "2", "--repeats", "1", "--seconds", "0", "--fit", str(path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0 and result.output.rstrip().endswith(f"written to {path}")
    own_prices(path)
    assert set(prices.read_prices()["cpu"]) and all(x > 0 for x in prices.read_prices()["cpu"].values())


@pytest.mark.parametrize(
    "text", [None, "{", "[]", '{"cpu": {}}', '{"cpu": {"prices": {"tile": "dear"}}}', '{"cpu": 3}']
)
def test_a_file_without_prices_is_refused_in_one_line(text, tmp_path, own_prices):
    path = tmp_path / "prices.json"
    if text is not None:
        path.write_text(text)
    own_prices(path)
    with pytest.raises(UserError, match=r"LAMBDALAB_PRICES names .*prices\.json.*bench planner --fit") as error:
        prices.read_prices()
    assert "\n" not in str(error.value)


def test_prices_and_their_test_are_two_commands(tmp_path):
    result = CliRunner().invoke(main, ["bench", "planner", "--fit", str(tmp_path / "a"), "--csv", str(tmp_path / "b")])
    assert result.exit_code == 2 and "one at a time" in result.output and not list(tmp_path.iterdir())
