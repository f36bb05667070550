"""The scaling benchmark: how time and memory grow with the picture, for local scopes and for the global context."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lambdalab.attention import SelfAttention2d
from lambdalab.bench.memory import peak_megabytes
from lambdalab.bench.records import Row, distinct, select
from lambdalab.bench.rounds import paired_rounds, spread
from lambdalab.bench.shapes import LayerShape
from lambdalab.bench.sides import layer_step
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.timing import one_thread, slope

SIDES = (16, 24, 32, 48, 64, 96, 128)
LOCAL = {"lambda, scope 7": 7, "lambda, scope 23": 23}
GLOBAL = ("lambda, global", "self-attention")


def make_layer(series: str, shape: LayerShape) -> nn.Module:
    """Make the layer of a series, for pictures of the shape's size."""
    letters = {"dim_k": shape.dim_k, "heads": shape.heads}
    if series in LOCAL:
        return LambdaLayer(shape.dim, **letters, scope=LOCAL[series])
    kind = {"lambda, global": LambdaLayer, "self-attention": SelfAttention2d}[series]
    return kind(shape.dim, **letters, scope=None, size=shape.size)


def warmed_step(series: str, shape: LayerShape, device: str) -> Callable[[], None]:
    """Return the training step of a series, rehearsed on small pictures, for ``memory.peak_memory``."""
    small = LayerShape(1, shape.dim, (8, 8))
    layer_step(make_layer(series, small).to(device), small, "training", device)()
    return layer_step(make_layer(series, shape).to(device), shape, "training", device)


@dataclass(frozen=True)
class ScalingBench:
    """How to measure: forward and backward of layers of ``dim`` channels, k = 16, h = 4, on square pictures.

    Attributes:
        batch: pictures.
        dim: channels.
        limit_mb: no layer is run that would need more.
        device: "cpu", on one thread, or "cuda".
        repeats: rounds, at most.
        seconds: for the rounds of all local layers, and again for all global ones.
    """

    batch: int = 4
    dim: int = 64
    limit_mb: float = 4000
    device: str = "cpu"
    repeats: int = 5
    seconds: float = 40

    def __post_init__(self):
        if min(self.batch, self.dim) < 1 or self.limit_mb <= 0:
            raise UserError("batch, dim and the memory limit must be positive")

    def rows(self, sides=SIDES, progress: Callable[[str], None] = lambda name: None) -> list[Row]:
        """Measure all series; one row for each series and side, with ``peak_mb`` estimated where nothing ran.

        Raises:
            UserError: if a setting is not allowed.
        """
        rows = []
        with one_thread():
            for group in (LOCAL, GLOBAL):
                found = [row for series in group for row in self._peaks(series, sorted(sides), progress)]
                run = {f"{row['series']} {row['side']}": row for row in found if row["run"]}
                progress(f"time of {', '.join(group)}")
                taken = paired_rounds(
                    {name: self._step(row) for name, row in run.items()}, self.repeats, self.seconds, self.device
                )
                for name, seconds in taken.items():
                    times = zip(("seconds", "seconds_low", "seconds_high"), spread(seconds), strict=True)
                    run[name].update(times, rounds=len(seconds))
                rows += found
        return rows

    def _peaks(self, series: str, sides: list[int], progress: Callable[[str], None]) -> list[Row]:
        """Peak memory, side by side upwards, until a layer would need more than the limit."""
        rows, last = [], None
        for side in sides:
            # Guessed from the last one: as the pixels for a local scope, as pairs of pixels for the global context.
            peak = None if last is None else last["peak_mb"] * (side / last["side"]) ** (2 if series in LOCAL else 4)
            run = peak is None or (last["run"] and peak <= self.limit_mb)
            if run:
                progress(f"memory of {series}, {side}×{side}")
                measured = peak_megabytes(warmed_step, series, self._shape(side), self.device, device=self.device)
                run, peak = measured is not None, peak if measured is None else measured
            last = {"series": series, "side": side, "pixels": side**2, "run": int(run), "peak_mb": peak}
            rows.append({**last, "seconds": None, "seconds_low": None, "seconds_high": None, "rounds": 0})
        return rows

    def _shape(self, side: int) -> LayerShape:
        return LayerShape(self.batch, self.dim, (side, side))

    def _step(self, row: dict) -> Callable[[], None]:
        shape = self._shape(row["side"])
        return layer_step(make_layer(row["series"], shape).to(self.device), shape, "training", self.device)


def time_exponents(rows: list[Row]) -> dict[str, float]:
    """By series, p of time ∝ pixels^p: the slope on logarithmic scales, over all sizes that ran."""
    return {
        series: slope([row["pixels"] for row in ran], [row["seconds"] for row in ran])
        for series, ran in _ran(rows).items()
    }


def memory_ends(rows: list[Row], limit_mb: float) -> dict[str, float]:
    """By series, the side of the square picture whose step would need all of the limit.

    The peaks of the two largest pictures that ran are prolonged as the power law through them. A series that grew by
    less than their sides is left out: what was measured is not the pictures' memory, and its law would lead anywhere.
    """
    ends = {}
    for series, ran in _ran(rows).items():
        (side, peak), (larger, more) = ((row["side"], row["peak_mb"]) for row in ran[-2:])
        power = slope([side, larger], [peak, more]) if min(peak, more) > 0 else 0
        if power >= 1:
            ends[series] = larger * (limit_mb / more) ** (1 / power)
    return ends


def _ran(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of the sizes that ran, by series; at least two."""
    found = {series: select(rows, series=series, run=1) for series in distinct(rows, "series")}
    return {series: ran for series, ran in found.items() if len(ran) > 1}
