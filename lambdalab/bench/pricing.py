"""Prices for the planner, fitted to what random shapes took on this machine, in every order and in several tilings."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from lambdalab.bench.planner import PlannerBench
from lambdalab.choices import MAP_FIRST, TILE_BYTES, Choice, alternatives, tilings
from lambdalab.files import write_json
from lambdalab.prices import price
from lambdalab.work import Shape, Work, count_tiles

MORE = 3  # tilings of a shape that are timed besides each order's best
WIDE = 25  # an order predicted so many times slower than the quickest is not timed


class Timing(NamedTuple):
    """What a way of a shape does and takes, and the seconds that the shape's quickest way took."""

    work: Work
    seconds: float
    quickest: float


class Fitted(NamedTuple):
    """Seconds for one unit of each kind of work, and how far off they are."""

    prices: dict[str, float]
    error: float  # median of |predicted / measured − 1|
    timings: int


def fit_prices(timed: list[Timing]) -> Fitted:
    """Find the prices that predict best: non-negative least squares of the relative errors.

    Minimises Σ (w · (Σ_unit price·amount / seconds − 1))² over the timings, all prices ≥ 0 (scipy.optimize.nnls).
    The weights w = quickest / seconds: a way far slower than the best need not be known as well to be refused.
    """
    import numpy as np
    from scipy.optimize import nnls

    units = sorted({unit for work, _, _ in timed for unit, amount in work.items() if amount})
    amounts = np.array([[work[unit] / seconds for unit in units] for work, seconds, _ in timed])
    weights = np.array([quickest / seconds for _, seconds, quickest in timed])
    largest = amounts.max(axis=0)  # so that all columns are of one size
    found, _ = nnls(amounts / largest * weights[:, None], weights, maxiter=100 * len(units))
    error = float(np.median(np.abs(amounts / largest @ found - 1)))
    prices = {unit: float(f"{x:.3g}") for unit, x in zip(units, found / largest, strict=True) if x > 0}
    return Fitted(prices, error, len(timed))


def time_work(
    shapes: list[Shape], bench: PlannerBench, progress: Callable[[str], None] = lambda name: None
) -> list[Timing]:
    """Time each shape's orders and a few more tilings, none far slower."""
    timed = []
    for shape in shapes:
        ways = [way for way in alternatives(shape) if way.seconds <= WIDE * alternatives(shape)[0].seconds]
        ways += [way for way in _more_tilings(shape) if way.tiling not in [other.tiling for other in ways]]
        taken = [(way.work, spread[0]) for way, spread in bench.times(shape, ways, progress)]
        quickest = min(seconds for _, seconds in taken)
        timed += [Timing(work, seconds, quickest) for work, seconds in taken]
    return timed


def _more_tilings(shape: Shape) -> list[Choice]:
    tile_bytes, draw = TILE_BYTES[shape.device], random.Random(str(shape))
    drawn = [(order, tiling) for order in MAP_FIRST for tiling in tilings(shape, order, tile_bytes)]
    draw.shuffle(drawn)
    found = []
    for order, tiling in drawn[:MORE]:
        work, memory = count_tiles(shape, tiling)
        found.append(Choice(order, tiling, work, memory, price(work, shape.device)))
    limit = WIDE * alternatives(shape)[0].seconds
    return [way for way in found if way.seconds <= limit]


def write_prices(path: Path, fitted: Fitted, device: str) -> None:
    """Write a file that LAMBDALAB_PRICES may name; for other devices lambdalab's own prices stay."""
    where = torch.cuda.get_device_name() if device == "cuda" else "this machine's CPU, one thread"
    what = f"Fitted by lambdalab bench planner to {fitted.timings} timings on {where}, PyTorch {torch.__version__}"
    write_json(path, {device: {"what": what, "prices": fitted.prices}})
