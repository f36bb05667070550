"""Who competes: lambdalab's layer, the original's, and those of the packages lambda-networks and timm.

All four get the same depths, heads, u, scope and input. Where a peer has no such layer, it either stands in with less
work, which ``Side.shape`` tells, or does not compete at all:

- timm has no intra-depth: for u > 1 it runs at u = 1, less work;
- the original's "global context" knows no positions, so that it has none;
- lambda-networks' global context is for square pictures only.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import nn

from lambdalab.bench.machine import products_in, switch_onednn
from lambdalab.bench.shapes import LayerShape
from lambdalab.errors import UserError, did_you_mean
from lambdalab.layers import LambdaLayer
from lambdalab.original import OriginalLambdaLayer

OURS, PEERS = "lambdalab", ("original", "lambda-networks", "timm")
PASSES = ("forward", "training")


class Side(NamedTuple):
    """A layer that takes part."""

    layer: nn.Module
    shape: LayerShape  # what it really runs, which may be less than what was asked for


def check_peers(names: str | None) -> list[str]:
    """Return the peers that a list with commas names; by default all that are installed.

    Raises:
        UserError: if one is unknown or not installed.
    """
    installed = [name for name in PEERS if name == "original" or find_spec(name.replace("-", "_"))]
    if names is None:
        return installed
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in chosen:
        if name not in PEERS:
            near = did_you_mean(name, list(PEERS))
            raise UserError(f"unknown peer '{name}'{near} (there are {', '.join(PEERS)})")
        if name not in installed:
            raise UserError(f"{name} is not installed: install the package {name}, or leave it out with --against")
    return chosen


def make_side(name: str, shape: LayerShape, contraction: str = "auto") -> Side | None:
    """Make a side's layer with fresh weights, or return ``None`` if it has no layer of this kind.

    Args:
        name: ``OURS`` or one of ``PEERS``.
        shape: what is asked for.
        contraction: the order in which our own layer sums.
    """
    context = {"scope": shape.scope, "size": None if shape.scope else shape.size}
    letters = {"dim_k": shape.dim_k, "heads": shape.heads, "dim_u": shape.dim_u}
    if name == OURS:
        return Side(LambdaLayer(shape.dim, **letters, **context, contraction=contraction), shape)
    if name == "original":
        if shape.scope is None:
            return None
        return Side(OriginalLambdaLayer(shape.dim, shape.dim, **letters, scope=shape.scope), shape)
    if name == "lambda-networks":
        if shape.scope is None and shape.size[0] != shape.size[1]:
            return None
        from lambda_networks import LambdaLayer as Peer

        window = {"r": shape.scope} if shape.scope else {"n": shape.size[0]}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.meshgrid")
            return Side(Peer(shape.dim, **letters, **window), shape)
    from timm.layers.lambda_layer import LambdaLayer as Peer

    layer = Peer(shape.dim, feat_size=shape.size, num_heads=shape.heads, dim_head=shape.dim_k, r=shape.scope)
    return Side(layer, replace(shape, dim_u=1))


def layer_step(
    layer: nn.Module, shape: LayerShape, kind: str, device: str = "cpu", dtype: str = "float32"
) -> Callable[[], None]:
    """Return a function that does one pass of a layer on random pictures of a shape.

    Args:
        layer: already on the device.
        shape: of the pictures.
        kind: "forward", evaluated in inference mode, or "training", forward and backward with the gradients of input
            and weights.
        device: where.
        dtype: of the products, as autocast chooses them; weights and input stay float32.
    """
    x = torch.randn(shape.batch, shape.dim, *shape.size, device=device)
    gradient = torch.randn_like(x)

    def forward() -> None:
        layer.eval()
        with torch.inference_mode(), products_in(dtype, device):
            layer(x)

    def training() -> None:
        layer.train()
        layer.zero_grad(set_to_none=True)
        leaf = x.detach().requires_grad_()
        with products_in(dtype, device):
            y = layer(leaf)
        y.backward(gradient.to(y.dtype))

    return {"forward": forward, "training": training}[kind]


def warmed_step(
    name: str, shape: LayerShape, contraction: str, device: str, dtype: str, onednn: bool
) -> Callable[[], None]:
    """Return a side's training step, for ``memory.peak_memory``, after a rehearsal.

    The rehearsal is the same step, so that what libraries load and keep for themselves counts for no side.
    """
    switch_onednn(onednn)
    side = make_side(name, shape, contraction)
    layer = side.layer.to(device)
    step = layer_step(layer, side.shape, "training", device, dtype)
    step()
    layer.zero_grad(set_to_none=True)
    return step
