"""Is a printed number the recounted one? Judged by its own digits, with the reason.

A number *holds* if the recount rounds to it, is *truncated* if the recount was cut off to it, is *another model*'s if
another recount gives it, a *typo* if one digit is wrong, *cannot hold* if its table contradicts itself there, and else
*differs*.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

MILLIONS, GFLOPS = ("M", 10**6), ("GFLOPs", 10**9)


@dataclass(frozen=True)
class Verdict:
    """A printed number beside its recount; the unit is its name and what it stands for."""

    printed: str
    recount: int
    verdict: str
    reason: str = ""
    unit: tuple[str, int] = MILLIONS

    @property
    def difference(self) -> float:
        """Printed minus recounted, in units."""
        return float(self.printed) - self.recount / self.unit[1]


def judge(printed: str, count: int, others: dict[str, int] | None = None, impossible: str = "") -> Verdict:
    """Judge a printed number of millions of parameters.

    Args:
        printed: as printed, since its digits say how exact it is.
        count: the recount of the network that it is printed for.
        others: recounts of other networks by name, which it may have been confused with.
        impossible: why no network of this kind can have it, if that is so.
    """
    if printed == rounded(count, printed):
        return Verdict(printed, count, "holds")
    if impossible:
        return Verdict(printed, count, "cannot hold", impossible)
    if printed == rounded(count, printed, ROUND_DOWN):
        return Verdict(printed, count, "truncated", f"{count / 1e6:.3f} cut off, not rounded")
    for name, other in (others or {}).items():
        if printed in (rounded(other, printed), rounded(other, printed, ROUND_DOWN)):
            return Verdict(printed, count, "another model", f"it is the count of {name}, {other:,}")
    right = rounded(count, printed)
    if len(right) == len(printed) and sum(a != b for a, b in zip(right, printed, strict=True)) == 1:
        distance = abs(float(right) - float(printed))
        if distance > 0.5:  # a slip of the hand; a last digit off by one is a difference
            return Verdict(printed, count, "typo", f"{right} with one digit wrong")
    return Verdict(printed, count, "differs", f"the recount rounds to {right}")


def satisfiable(conditions: list[tuple[list[float], float]], half_width: float = 0.05) -> bool:
    """Return whether some x has |coefficients·x − value| ≤ half_width for all conditions (a linear program)."""
    from scipy.optimize import linprog

    rows = [coefficients for coefficients, _ in conditions]
    values = [value for _, value in conditions]
    both_sides = rows + [[-number for number in row] for row in rows]
    limits = [value + half_width for value in values] + [half_width - value for value in values]
    free = [(None, None)] * len(rows[0])
    return linprog([0] * len(rows[0]), A_ub=both_sides, b_ub=limits, bounds=free).status != 2


def rounded(count: int, printed: str, rounding: str = ROUND_HALF_UP, unit: tuple[str, int] = MILLIONS) -> str:
    """Return a count in units, as text with as many decimals as ``printed`` has."""
    decimals = len(printed.partition(".")[2])
    return str((Decimal(count) / unit[1]).quantize(Decimal(1).scaleb(-decimals), rounding))
