"""Is the planner right? Random shapes, every order timed, the choice compared with the best."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lambdalab.bench.records import Row, distinct, select
from lambdalab.bench.rounds import paired_rounds, spread
from lambdalab.choices import Choice, alternatives
from lambdalab.contraction import compute
from lambdalab.timing import one_thread
from lambdalab.work import Shape

Spread = tuple[float, float, float]  # median, first and third quartile

LARGEST = 3e9  # multiply-adds of the paper's order, so that a shape takes seconds at most
SHORT = 3e-3  # seconds; what takes less is timed several passes at once
FAR = 8  # an order predicted so many times slower than the choice is not timed


def random_shapes(count: int, seed: int, device: str = "cpu") -> list[Shape]:
    """Draw shapes of layers: pictures often not square, odd channels, other k, h, u and scopes; half with backward."""
    draw, shapes = random.Random(seed), []
    while len(shapes) < count:
        height = draw.choice([4, 5, 7, 8, 12, 14, 16, 20, 28, 32, 40, 56])
        width = height if draw.random() < 0.4 else max(3, round(height * draw.choice([0.5, 0.75, 1.4, 2])))
        scope = draw.choice([3, 5, 7, 9, 15, 23, 31])
        shape = Shape(
            batch=draw.choice([1, 2, 4, 8, 16, 32]),
            height=height,
            width=width,
            dim_k=draw.choice([4, 8, 12, 16, 16, 24, 32]),
            dim_v=draw.choice([6, 8, 16, 24, 32, 50, 64]),
            heads=draw.choice([1, 2, 3, 4, 8]),
            dim_u=draw.choice([1, 1, 2, 3, 4]),
            window=(min(scope, 2 * height - 1), min(scope, 2 * width - 1)),
            device=device,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,  # what each trains in
            training=draw.random() < 0.5,
        )
        work = shape.batch * height * width * shape.window[0] * shape.window[1] * shape.dim_u
        if work * shape.dim_k * shape.dim_v <= LARGEST:
            shapes.append(shape)
    return shapes


def name_of(shape: Shape) -> str:
    """A shape in a word, as the layer benchmark's."""
    return (
        f"b{shape.batch}-{shape.height}x{shape.width}-k{shape.dim_k}-v{shape.dim_v}-h{shape.heads}-u{shape.dim_u}"
        f"-w{shape.window[0]}x{shape.window[1]}-{'training' if shape.training else 'forward'}"
    )


@dataclass(frozen=True)
class PlannerBench:
    """How to measure: ``repeats`` rounds of all orders in turn, no new one after ``seconds``, on one thread."""

    repeats: int = 7
    seconds: float = 2
    device: str = "cpu"

    def rows(self, shapes: list[Shape], progress: Callable[[str], None] = lambda name: None) -> list[Row]:
        """Time the orders of each shape: a row an order, the first of a shape being the planner's choice."""
        rows = []
        for shape in shapes:
            ways = alternatives(shape)
            ways = [way for way in ways if way.seconds <= FAR * ways[0].seconds]
            for way, (middle, low, high) in self.times(shape, ways, progress):
                times = {"seconds": middle, "seconds_low": low, "seconds_high": high, "predicted": way.seconds}
                rows.append({"shape": name_of(shape), "order": way.name, **times, "tiling": str(way.tiling or "")})
        return rows

    def times(self, shape: Shape, ways: list[Choice], progress: Callable[[str], None]) -> list[tuple[Choice, Spread]]:
        """Time ways of a shape in turn: seconds of a pass, the median and its quartiles."""
        progress(name_of(shape))
        passes = [max(1, round(SHORT / way.seconds)) for way in ways]
        with one_thread():
            steps = {str(i): step_of(shape, way, passes[i]) for i, way in enumerate(ways)}
            taken = paired_rounds(steps, self.repeats, self.seconds, self.device)
        spreads = [tuple(each / count for each in spread(taken[str(i)])) for i, count in enumerate(passes)]
        return list(zip(ways, spreads, strict=True))


def step_of(shape: Shape, way: Choice, passes: int) -> Callable[[], None]:
    """Return so many passes of the position term in one order."""
    options = {"device": shape.device, "dtype": shape.dtype, "requires_grad": shape.training}
    pixels = shape.batch, shape.height, shape.width
    inputs = (
        torch.randn(*pixels, shape.heads, shape.dim_k, **options),
        torch.randn(*pixels, shape.dim_u, shape.dim_v, **options),
        torch.randn(shape.dim_k, shape.dim_u, *shape.window, **options),
    )
    grad = torch.randn(*pixels, shape.heads, shape.dim_v, device=shape.device, dtype=shape.dtype)

    def step() -> None:
        for _ in range(passes):
            y = compute(way.order, way.tiling, *inputs)
            if shape.training:
                torch.autograd.grad(y, inputs, grad)

    return step


def regrets(rows: list[Row]) -> dict[str, float]:
    """How many times the best order's time the choice took, shape by shape."""
    found = {}
    for shape in distinct(rows, "shape"):
        seconds = [row["seconds"] for row in select(rows, shape=shape)]
        found[shape] = seconds[0] / min(seconds)
    return found
