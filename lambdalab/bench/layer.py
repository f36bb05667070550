"""The layer benchmark: one lambda layer against its peers, shape by shape, forward alone and forward with backward."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lambdalab.bench.machine import Limits, measure_limits, onednn_products, setting_columns
from lambdalab.bench.memory import Peaks, peak_columns, peak_megabytes
from lambdalab.bench.records import Row
from lambdalab.bench.rounds import Seconds, compared, paired_rounds
from lambdalab.bench.shapes import LayerShape
from lambdalab.bench.sides import OURS, PASSES, Side, layer_step, make_side, warmed_step
from lambdalab.choices import ORDERS
from lambdalab.errors import UserError, did_you_mean
from lambdalab.timing import one_thread


@dataclass(frozen=True)
class LayerBench:
    """What to measure and how; ``rows`` does it.

    Attributes:
        peers: names from ``sides.PEERS``.
        device: "cpu", on one thread, or "cuda".
        dtype: of the products.
        contraction: the order of our own layer.
        repeats: rounds for a shape and pass, at most.
        seconds: for a shape, shared by its two passes.
        memory: whether to measure peak memory too, a process for each side and shape.
        onednn: whether oneDNN does the float32 products, for all sides.
    """

    peers: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: str = "float32"
    contraction: str = "auto"
    repeats: int = 15
    seconds: float = 10
    memory: bool = False
    onednn: bool = False

    def __post_init__(self):
        orders = ["auto", *ORDERS]
        if self.contraction not in orders:
            near = did_you_mean(self.contraction, orders)
            raise UserError(f"unknown contraction '{self.contraction}'{near} (there are {', '.join(orders)})")

    def rows(self, shapes: Iterable[LayerShape], progress: Callable[[str], None] = lambda name: None) -> list[Row]:
        """Measure the shapes; one row for each shape, pass and side.

        Args:
            shapes: what to measure.
            progress: called with each shape's name before it starts.

        Raises:
            UserError: if a setting is not allowed.
        """
        rows = []
        with one_thread(), onednn_products(self.onednn):
            limits = measure_limits(self.device, self.dtype)
            for shape in shapes:
                progress(shape.name)
                sides = {name: make_side(name, shape, self.contraction) for name in (OURS, *self.peers)}
                rows += self._shape({name: side for name, side in sides.items() if side}, shape, limits)
        return rows

    def _shape(self, sides: dict[str, Side], shape: LayerShape, limits: Limits) -> list[Row]:
        for side in sides.values():
            side.layer.to(self.device)
        peaks = {name: self._peak(name, shape) if self.memory else None for name in sides}
        rows = []
        for kind in PASSES:
            steps = {
                name: layer_step(side.layer, side.shape, kind, self.device, self.dtype) for name, side in sides.items()
            }
            share = self.seconds / 3 if kind == "forward" else self.seconds * 2 / 3
            taken = paired_rounds(steps, self.repeats, share, self.device)
            rows += summarise(sides, shape, kind, taken, limits, peaks if kind == "training" else {})
        how = setting_columns(self.device, self.dtype, self.onednn)
        return [{**row, **how} for row in rows]

    def _peak(self, name: str, shape: LayerShape) -> float | None:
        arguments = (name, shape, self.contraction, self.device, self.dtype, self.onednn)
        return peak_megabytes(warmed_step, *arguments, device=self.device)


def summarise(
    sides: dict[str, Side], shape: LayerShape, kind: str, taken: Seconds, limits: Limits, peaks: Peaks
) -> list[Row]:
    """Turn one shape's rounds into rows: seconds, ratio to ``OURS``, share of the machine's limit, peak memory.

    The limit is the time of the FLOPs that the pass needs (``LayerShape.flops``, with backward three times as many)
    at the rate of a large matrix product.
    """
    rows = []
    for name, times in compared(taken, OURS).items():
        run = sides[name].shape
        flops = run.flops() * (3 if kind == "training" else 1)
        rows.append(
            {
                "shape": shape.name,
                "context": "local" if shape.scope else "global",
                "pass": kind,
                "side": name,
                "work": "equal" if run == shape else f"less (u={run.dim_u})",
                **times,
                "limit_share": flops / times["seconds"] / limits.flops,
                "limit_gflops": limits.flops / 1e9,
                "copy_gbs": limits.copied / 1e9,
                **peak_columns(peaks, name, OURS),
            }
        )
    return rows
