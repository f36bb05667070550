"""What a unit of each kind of work costs, of which the planner's predictions are made: ``prices.json``, or your own."""

import json
import os
from collections import Counter
from functools import lru_cache
from pathlib import Path

from lambdalab.errors import UserError


@lru_cache
def read_prices() -> dict[str, dict[str, float]]:
    """Seconds for one unit of each kind of work, by device; ``prices.json`` says where they come from.

    A file that LAMBDALAB_PRICES names, from ``lambdalab bench planner --fit``, goes before.

    Raises:
        UserError: if it is not there, or holds something else.
    """
    prices = _read(Path(__file__).with_name("prices.json"))
    if own := os.environ.get("LAMBDALAB_PRICES"):
        try:
            prices |= _read(Path(own))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"LAMBDALAB_PRICES names {own}, which holds no prices ({type(error).__name__}: {error}); "
                "make it with lambdalab bench planner --fit, or unset the variable"
            ) from None
    return prices


def _read(path: Path) -> dict[str, dict[str, float]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return {device: {unit: float(x) for unit, x in entry["prices"].items()} for device, entry in found.items()}


def price(work: Counter, device: str) -> float:
    """Predicted seconds.

    Raises:
        UserError: if there is no price for any of it, as for a kernel in prices that were fitted without one.
    """
    prices = read_prices().get(device, read_prices()["cpu"])
    if work and not any(unit in prices for unit in work):
        own = os.environ.get("LAMBDALAB_PRICES")
        raise UserError(
            f"LAMBDALAB_PRICES names {own}, which has no price for '{next(iter(work))}'; "
            "unset it and fit anew with lambdalab bench planner --fit, with the kernel if you want it"
        )
    return sum(amount * prices.get(unit, 0) for unit, amount in work.items())
