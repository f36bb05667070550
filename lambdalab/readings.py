"""What a lambda layer reads from its input, in one form for every make of layer.

Three makes are known: ``layers.LambdaLayer``, the community code's ``original.OriginalLambdaLayer``, and timm's
``LambdaLayer`` (lambda_resnet26t, lambda_resnet50ts, lambda_resnet26rpt_256). timm itself is never imported here.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lambdalab.layers import LambdaLayer
from lambdalab.original import OriginalLambdaLayer


class Reading(NamedTuple):
    """All that y_n = Σ_m Σ_u (q_n·K̄_mu + q_n·E_{m−n,u}) V_mu + q_n·bias is made of."""

    queries: Tensor  # (b, h, n, k)
    keys: Tensor | None  # K̄, (b, m, u, k), softmaxed over m; None without a content lambda
    values: Tensor  # (b, m, u, v)
    embedding: Tensor | None  # (k, u, r_y, r_x), offset 0 in the middle; None without a position lambda
    bias: Tensor | None  # (k,), added to every position lambda at every v; only timm's convolution has one
    scope: int | None  # width of the position lambda's window; None: the global context


def lambda_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return a model's lambda layers of any known make by name, in the network's order.

    A model that is itself a lambda layer is called "layer".
    """
    found = {name: module for name, module in model.named_modules() if _reader(module) is not None}
    return {name or "layer": module for name, module in found.items()}


def read_layer(layer: nn.Module, x: Tensor) -> Reading:
    """Read x, (b, dim, H, W), as the layer does in its mode, without a change to its batch-norm statistics."""
    # Training mode normalises by the batch and updates running statistics: let it update copies of them.
    buffers = {f"layer.{name}": buffer.clone() for name, buffer in layer.named_buffers()} if layer.training else {}
    return functional_call(_Call(layer, _reader(layer)), buffers, (x,))


def on_output(layer: nn.Module, act: Callable[[Tensor, Tensor], Tensor | None]) -> list:
    """Have ``act(x, y)`` called with the layer's input and its output (b, dim_out, H, W) at every forward.

    What ``act`` returns replaces y; ``None`` leaves it. Where the layer pools its output itself (timm), y is what it
    pools, so that queries and outputs have one map.

    Returns:
        The hooks' handles; ``handle.remove()`` ends it.
    """
    if not _is_timm(layer):
        return [layer.register_forward_hook(lambda module, inputs, y: act(inputs[0], y))]
    inputs_of_layer: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple) -> None:
        inputs_of_layer[:] = [inputs[0]]

    def pooling(module: nn.Module, inputs: tuple) -> Tensor | None:
        return act(inputs_of_layer.pop(), inputs[0])

    return [layer.register_forward_pre_hook(keep), layer.pool.register_forward_pre_hook(pooling)]


class _Call(nn.Module):
    """A function of a layer and its input as a module, which ``functional_call`` needs."""

    def __init__(self, layer: nn.Module, function: Callable[[nn.Module, Tensor], Reading]):
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x: Tensor) -> Reading:
        return self.function(self.layer, x)


def _is_timm(module: nn.Module) -> bool:
    # A model that has such a layer has loaded this module.
    timm = sys.modules.get("timm.layers.lambda_layer")
    return timm is not None and isinstance(module, timm.LambdaLayer)


def _reader(module: nn.Module) -> Callable[[nn.Module, Tensor], Reading] | None:
    """The function that reads this make of layer; ``None`` if it is not a lambda layer."""
    if isinstance(module, LambdaLayer):
        return _read_ours
    if isinstance(module, OriginalLambdaLayer):
        return _read_original
    return _read_timm if _is_timm(module) else None


def _read_ours(layer: LambdaLayer, x: Tensor) -> Reading:
    queries, keys, values = layer.project(x)
    keys = None if keys is None else keys.softmax(dim=1)
    return Reading(queries, keys, values, layer.embedding, None, layer.scope)


def _read_original(layer: OriginalLambdaLayer, x: Tensor) -> Reading:
    """Read the community code's layer, which takes its value channels as (v, u) for content, as (u, v) for position.

    For u > 1 these are different values: 2u copies, the first u for content, the last u for position.
    """
    b, k, u, v = x.shape[0], layer.dim_k, layer.dim_u, layer.dim_v
    queries = layer.queries(x).reshape(b, layer.heads, k, -1).transpose(2, 3)
    keys = layer.keys(x).reshape(b, k, u, -1).softmax(dim=-1).permute(0, 3, 2, 1)
    channels = layer.values(x).flatten(2).transpose(1, 2)  # (b, m, u·v)
    by_depth = channels.unflatten(2, (v, u)).transpose(2, 3)
    if layer.scope is None:
        # Its "global context" has one embedding for all offsets, applied to the query's own position alone.
        return Reading(queries, keys, by_depth, layer.embedding[:, :, None, None], None, 1)
    if u == 1:
        return Reading(queries, keys, by_depth, layer.embedding, None, layer.scope)
    values = torch.cat([by_depth, channels.unflatten(2, (u, v))], dim=2)
    keys = torch.cat([keys, torch.zeros_like(keys)], dim=2)
    embedding = torch.cat([torch.zeros_like(layer.embedding), layer.embedding], dim=1)
    return Reading(queries, keys, values, embedding, None, layer.scope)


def _read_timm(layer: nn.Module, x: Tensor) -> Reading:
    """Read timm's layer: u = 1, one convolution for q, k and v, position as a Conv3d with bias or as a table."""
    b, h, k, v = x.shape[0], layer.num_heads, layer.dim_qk, layer.dim_v
    queries, keys, values = layer.qkv(x).split([h * k, k, v], dim=1)
    queries = layer.norm_q(queries).reshape(b, h, k, -1).transpose(2, 3)
    values = layer.norm_v(values).flatten(2).transpose(1, 2).unsqueeze(2)
    keys = keys.flatten(2).softmax(dim=-1).transpose(1, 2).unsqueeze(2)
    if layer.conv_lambda is None:
        return Reading(queries, keys, values, layer.pos_emb.permute(2, 0, 1).unsqueeze(1), None, None)
    embedding = layer.conv_lambda.weight.squeeze(-1)  # (k, 1, r, r)
    return Reading(queries, keys, values, embedding, layer.conv_lambda.bias, embedding.shape[-1])
