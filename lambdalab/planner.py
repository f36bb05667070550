"""What a layer would do with pictures of a size, and what else it could do: printed, and timed on request."""

import time
from dataclasses import dataclass, replace
from statistics import median

import torch

from lambdalab import contraction
from lambdalab.choices import ALIKE, SURE, Choice, alternatives, choose
from lambdalab.work import Shape


@dataclass(frozen=True)
class Plan:
    """A choice, why, and what the other orders would cost; ``print`` it."""

    shape: Shape
    choice: Choice
    alternatives: tuple[Choice, ...]

    @property
    def reason(self) -> str:
        """Say in a line why this order."""
        fitting = [way for way in self.alternatives if way.fits]
        if self.choice != fitting[0]:
            return f"{self.choice.name}, as asked for"
        quickest, *slower = sorted(fitting, key=lambda way: way.seconds)
        if self.choice != quickest:
            near = f"{100 * ((SURE if self.choice.name == 'kernel' else ALIKE) - 1):.0f} %"
            return f"{self.choice.name}: predicted to be as fast as {quickest.name}, to within {near}, with less memory"
        ratio = slower[0].seconds / quickest.seconds
        return f"{quickest.name}: predicted {ratio:.3g} times as fast as {slower[0].name}, the next"

    def __str__(self) -> str:
        shape = self.shape
        window = "×".join(map(str, shape.window))
        lines = [
            f"{shape.batch} pictures of {shape.height}×{shape.width}, k={shape.dim_k}, v={shape.dim_v}, "
            f"h={shape.heads}, u={shape.dim_u}, window {window}, {shape.device}, "
            f"{'forward and backward' if shape.training else 'forward'}",
            f"  {'order':<10}{'predicted':>12}{'measured':>12}{'memory':>12}  tiles",
        ]
        for way in self.alternatives:
            mark = "→" if way.name == self.choice.name else " "
            measured = "-" if way.measured is None else f"{1e3 * way.measured:.3g} ms"
            memory = f"{4 * way.memory / 2**20:.3g} MiB"
            line = f"{mark} {way.name:<10}{1e3 * way.seconds:>9.3g} ms{measured:>12}{memory:>12}  {way.tiling or ''}"
            lines.append(line.rstrip())
        return "\n".join([*lines, self.reason])


def plan(shape: Shape, order: str = "auto", tile_bytes: int | None = None, *, measure: bool = False) -> Plan:
    """Choose for a shape and show the alternatives; with ``measure`` time them, but for those predicted far slower."""
    ways = alternatives(shape, tile_bytes)
    if measure:
        limit = 20 * ways[0].seconds
        ways = tuple(replace(way, measured=_time(shape, way)) if way.seconds <= limit else way for way in ways)
    chosen = choose(shape, order, tile_bytes).name
    return Plan(shape, next(way for way in ways if way.name == chosen), ways)


def _time(shape: Shape, way: Choice, repeats: int = 3) -> float:
    """Median seconds of a pass, after one that is not counted."""
    options = {"device": shape.device, "dtype": shape.dtype, "requires_grad": shape.training}
    pixels = shape.batch, shape.height, shape.width
    queries = torch.randn(*pixels, shape.heads, shape.dim_k, **options)
    values = torch.randn(*pixels, shape.dim_u, shape.dim_v, **options)
    embedding = torch.randn(shape.dim_k, shape.dim_u, *shape.window, **options)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        y = contraction.compute(way.order, way.tiling, queries, values, embedding)
        if shape.training:
            torch.autograd.grad(y, (queries, values, embedding), torch.ones_like(y))
        if shape.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])
