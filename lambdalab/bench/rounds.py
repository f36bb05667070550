"""Time, taken in rounds: every side once, one after the other, then all again; and what the rounds say.

Whatever else the machine does in a round meets all sides alike. So a ratio is taken within each round, and the median
of the rounds' ratios is reported with its quartiles.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from lambdalab.errors import UserError

Seconds = dict[str, list[float]]  # of each round, by side


def paired_rounds(
    steps: dict[str, Callable[[], None]], repeats: int = 15, seconds: float = 8, device: str = "cpu"
) -> Seconds:
    """Time each step in turn, in rounds; a rehearsal goes before and is not counted.

    Every round starts with another side, so that none always follows the same one.

    Args:
        steps: functions by name.
        repeats: rounds that count, at least 1.
        seconds: after so many no new round is begun, but two count at least (one, if repeats is 1).
        device: whose work is waited for.

    Returns:
        Seconds of each round that counts, by name.

    Raises:
        UserError: if there are no repeats.
    """
    if repeats < 1:
        raise UserError(f"repeats must be at least 1, got {repeats}")
    names, taken = list(steps), {name: [] for name in steps}
    start = time.perf_counter()
    for done in range(repeats + 1):
        if done > 2 and time.perf_counter() - start > seconds:
            break
        first = done % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(seconds_of(steps[name], device))
    return {name: each[1:] for name, each in taken.items()}


def seconds_of(step: Callable[[], None], device: str = "cpu") -> float:
    """Seconds that one call takes, its work on the device included."""
    wait_for(device)
    start = time.perf_counter()
    step()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: str) -> None:
    """Wait until a GPU has done all that it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, first and third quartile."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(middle), float(low), float(high)


def paired_ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """How many times longer they take: the median of the rounds' ratios theirs/ours, and its quartiles."""
    return spread([b / a for a, b in zip(ours, theirs, strict=True)])


def compared(taken: Seconds, ours: str) -> dict[str, dict[str, float]]:
    """Return each side's seconds and ratio to ours, medians with quartiles, as columns of a row; sides by name."""
    rows = {}
    for name, seconds in taken.items():
        middle = dict(zip(("seconds", "seconds_low", "seconds_high"), spread(seconds), strict=True))
        ratio = dict(zip(("ratio", "ratio_low", "ratio_high"), paired_ratio(taken[ours], seconds), strict=True))
        rows[name] = {**middle, **ratio, "rounds": len(seconds)}
    return rows


def geometric_mean(ratios: list[float]) -> float:
    """The mean of ratios that treats 2 and ½ alike: exp(mean(log)); not a number if there are none."""
    return float(np.exp(np.mean(np.log(ratios)))) if len(ratios) else float("nan")
