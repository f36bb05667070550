"""What layers cost, by measuring: seconds of a forward and a backward pass, multiply-adds, numbers that autograd keeps.

Times are taken in turn, one run of each layer after the other and then all of them again, so that whatever else the
machine does meets all layers alike; a number is the median of the repeats, with their quartiles for the spread.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lambdalab import contraction, work
from lambdalab.cuts import KERNEL, Tiling
from lambdalab.errors import UserError


class Timing(NamedTuple):
    """Seconds of each repeat."""

    forward: list[float]
    backward: list[float]

    def median(self, part: str = "both") -> float:
        """The median of the repeats; part is "forward", "backward" or "both"."""
        return float(np.median(self.seconds(part)))

    def quartiles(self, part: str = "both") -> tuple[float, float]:
        """Between these two lies the middle half of the repeats."""
        low, high = np.percentile(self.seconds(part), [25, 75])
        return float(low), float(high)

    def seconds(self, part: str = "both") -> list[float]:
        """Seconds of each repeat of one pass, or of both."""
        if part == "both":
            return [f + b for f, b in zip(self.forward, self.backward, strict=True)]
        return getattr(self, part)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, so that times do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def time_layers(layers: dict[str, tuple[nn.Module, Tensor]], repeats: int = 5, seconds: float = 8) -> dict[str, Timing]:
    """Time a forward and a backward pass of each layer on its input, in turn.

    The first round is a rehearsal and not counted, unless the time was up after the second.

    Args:
        layers: (layer, input) by name.
        repeats: rounds that count, at least 1.
        seconds: after so many no new round is begun, but there are two at least.

    Raises:
        UserError: if there are no repeats.
    """
    if repeats < 1:
        raise UserError(f"repeats must be at least 1, got {repeats}")
    timings = {name: Timing([], []) for name in layers}
    end = time.perf_counter() + seconds
    with one_thread():
        for done in range(repeats + 1):
            if done >= 2 and time.perf_counter() > end:
                break
            for name, (layer, x) in layers.items():
                forward, backward = _step(layer, x)
                timings[name].forward.append(forward)
                timings[name].backward.append(backward)
    rounds = len(next(iter(timings.values())).forward)
    first = 0 if rounds == 2 <= repeats else 1
    return {name: Timing(timing.forward[first:], timing.backward[first:]) for name, timing in timings.items()}


def _step(layer: nn.Module, x: Tensor) -> tuple[float, float]:
    x = x.detach().requires_grad_()
    layer.zero_grad(set_to_none=True)
    start = time.perf_counter()
    y = layer(x).sum()
    middle = time.perf_counter()
    y.backward()
    return middle - start, time.perf_counter() - middle


def counted_macs(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds of a forward pass as ``torch.utils.flop_counter`` counts them (it says FLOPs, two for each)."""
    from torch.utils.flop_counter import FlopCounterMode

    teach_flop_counter()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return counter.get_total_flops() // 2


def teach_flop_counter() -> None:
    """Let ``torch.utils.flop_counter`` count the map-first orders, whose operator hides its products from it.

    Here and not where the operator is made, because the counter loads as much as all of lambdalab.
    """
    from torch.utils.flop_counter import flop_registry, register_flop_formula

    forward, backward = torch.ops.lambdalab.position_term, torch.ops.lambdalab.position_term_gradients
    if forward not in flop_registry:
        register_flop_formula(forward, get_raw=True)(_flops_of_the_map)
        register_flop_formula(backward, get_raw=True)(_flops_of_its_gradients)


def _flops_of_the_map(queries: Tensor, values: Tensor, embedding: Tensor, *tiling, out_val=None) -> int:
    """a = q·E and y = a·V: k + v multiply-adds for each number of the map in all tiles."""
    return 2 * _map_numbers(queries, values, embedding, tiling) * (queries.shape[4] + values.shape[4])


def _flops_of_its_gradients(grad, queries: Tensor, values: Tensor, embedding: Tensor, *tiling, out_val=None) -> int:
    """The map anew, dV = aᵀ dy, da = dy Vᵀ, dq = da Eᵀ, dE = daᵀ q: 3k + 2v for each number."""
    return 2 * _map_numbers(queries, values, embedding, tiling) * (3 * queries.shape[4] + 2 * values.shape[4])


def _map_numbers(queries: Tensor, values: Tensor, embedding: Tensor, tiling: tuple) -> int:
    shape = contraction.shape_of(queries, values, embedding)
    way = contraction.planned(queries, values, embedding, Tiling(*tiling))
    if way == KERNEL:
        return shape.batch * shape.heads * shape.dim_u * work.pairs(shape)
    return work.count_tiles(shape, way)[0]["map"]


def kept_numbers(model: nn.Module, x: Tensor) -> int:
    """Numbers that autograd keeps from a forward pass for the backward pass, besides parameters and buffers.

    Tensors that share memory count once.
    """
    own = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}
    kept = {}

    def remember(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            # The storage is held on to, so that no later tensor gets its address and is taken for it.
            kept[storage._cdata] = (storage, storage.nbytes() // tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        y = model(x)
    del y
    return sum(numbers for _, numbers in kept.values())


def slope(sizes: list[float], values: list[float]) -> float:
    """Exponent p of the power law values ∝ sizes^p that fits best: the slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
