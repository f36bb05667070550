"""The network benchmark: a training step of a LambdaResNet, of the same with the original's layers, and of a ResNet."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from lambdalab.bench.machine import onednn_products, products_in, setting_columns, switch_onednn
from lambdalab.bench.memory import peak_columns, peak_megabytes
from lambdalab.bench.records import Row
from lambdalab.bench.rounds import compared, paired_rounds
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.models import create_model, list_models
from lambdalab.original import OriginalLambdaLayer
from lambdalab.timing import one_thread

SIDES = ("lambda", "original's order", "resnet")
# A CIFAR stem for small pictures, ImageNet's for large ones, and batches that one core steps through in seconds.
SMALL_PICTURE, BATCHES = 64, {True: 32, False: 4}


class Case(NamedTuple):
    """Networks of a depth on square pictures of a size."""

    depth: int
    size: int
    batch: int

    @property
    def name(self) -> str:
        return f"ResNet-{self.depth}, {self.size}×{self.size}, batch {self.batch}"


def cases(depths: Iterable[int], sizes: Iterable[int], batch: int | None = None) -> list[Case]:
    """All depths at all sizes; without a batch, 32 small pictures or 4 large ones.

    Raises:
        UserError: if there are no networks of a depth, or a number is not positive.
    """
    for depth in depths:
        if {f"resnet{depth}", f"lambda_resnet{depth}"} - set(list_models()):
            raise UserError(f"no ResNet and LambdaResNet of depth {depth}; there are 18, 26, 50, 101, 152")
    for number in (*sizes, *([] if batch is None else [batch])):
        if number < 1:
            raise UserError(f"sizes and batch must be at least 1, got {number}")
    return [Case(depth, size, batch or BATCHES[size <= SMALL_PICTURE]) for size in sizes for depth in depths]


def make_network(side: str, case: Case) -> nn.Module:
    """Make the network of a side, with fresh weights and as many classes as its pictures' dataset has."""
    small = case.size <= SMALL_PICTURE
    shape = {"stem": "cifar" if small else "imagenet", "num_classes": 10 if small else 1000}
    network = create_model(f"resnet{case.depth}" if side == "resnet" else f"lambda_resnet{case.depth}", **shape)
    return with_original_layers(network) if side == "original's order" else network


def with_original_layers(network: nn.Module) -> nn.Module:
    """Put the original's layer, of the same depths and scope, in the place of every lambda layer; returns the network.

    The two differ in their order of sums, in a crop of the window to the map, in one batch norm, and in the memory's
    layout: each has the one that is quicker for it.
    """
    network.layout = torch.contiguous_format
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LambdaLayer):
                shape = {"dim_k": layer.dim_k, "heads": layer.heads, "dim_u": layer.dim_u, "scope": layer.scope}
                setattr(parent, name, OriginalLambdaLayer(layer.dim, layer.dim_out, **shape))
    return network


def training_step(network: nn.Module, case: Case, device: str = "cpu", dtype: str = "float32") -> Callable[[], None]:
    """Return a function that does a step of SGD with momentum on random pictures; the network is on the device."""
    x = torch.randn(case.batch, 3, case.size, case.size, device=device)
    labels = torch.randint(network.config.num_classes, (case.batch,), device=device)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        network.train()
        optimiser.zero_grad(set_to_none=True)
        with products_in(dtype, device):
            loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimiser.step()

    return step


@dataclass(frozen=True)
class ModelBench:
    """How to measure; the attributes are those of ``layer.LayerBench``, seconds for a case."""

    device: str = "cpu"
    dtype: str = "float32"
    repeats: int = 5
    seconds: float = 30
    memory: bool = False
    onednn: bool = False

    def rows(self, chosen: Iterable[Case], progress: Callable[[str], None] = lambda name: None) -> list[Row]:
        """Measure the cases; one row for each case and side. ``ratio`` is a side's time over the lambda network's.

        Raises:
            UserError: if a setting is not allowed.
        """
        rows = []
        with one_thread(), onednn_products(self.onednn):
            for case in chosen:
                progress(case.name)
                steps = {
                    side: training_step(make_network(side, case).to(self.device), case, self.device, self.dtype)
                    for side in SIDES
                }
                taken = paired_rounds(steps, self.repeats, self.seconds, self.device)
                del steps
                peaks = {side: self._peak(side, case) if self.memory else None for side in SIDES}
                for side, times in compared(taken, SIDES[0]).items():
                    what = {"depth": case.depth, "size": case.size, "batch": case.batch, "side": side}
                    rows.append({**what, **times, **peak_columns(peaks, side, SIDES[0])})
        how = setting_columns(self.device, self.dtype, self.onednn)
        return [{**row, **how} for row in rows]

    def _peak(self, side: str, case: Case) -> float | None:
        arguments = (side, case, self.device, self.dtype, self.onednn)
        return peak_megabytes(warmed_step, *arguments, device=self.device)


def warmed_step(side: str, case: Case, device: str, dtype: str, onednn: bool) -> Callable[[], None]:
    """Return a network's training step, rehearsed with two pictures, so that the optimiser has its momenta.

    What ``memory.peak_memory`` then counts is what a step adds: what autograd keeps, gradients and scratch.
    """
    switch_onednn(onednn)
    network = make_network(side, case).to(device)
    training_step(network, case._replace(batch=2), device, dtype)()
    network.zero_grad(set_to_none=True)
    return training_step(network, case, device, dtype)
