"""The community implementation that the published log and tables come from, written anew with all its peculiarities.

Replays need what was run, not what should have been. The differences from ``layers`` and ``blocks``, each of which
the notebooks measure: batch norm on queries and keys instead of queries and values; for u > 1 the values are read as
(v, u) by the content lambda and as (u, v) by the position lambda; γ = 1 everywhere; biases in the shortcuts; a
convolutional bottleneck that ignores its stride in the residual and in the shortcut; a 3×3 average pool in the first
block of every stage, also where it does not shrink the map; dropout before a 1000-way head.

Source: the public repositories leaderj1001/LambdaNetworks (October 2020) and its fork by Hyungon Ryu; behaviour and
counts reproduced, no code copied.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.layers import check_shape


class OriginalLambdaLayer(nn.Module):
    """The original's lambda layer, (b, dim, H, W) → (b, dim_out, H, W).

    Args:
        dim: channels in.
        dim_out: channels out.
        dim_k: depth k of queries and keys.
        heads: number h of queries that share one λ.
        dim_u: intra-depth u.
        scope: odd window of the position lambda; ``None`` is the original's ``m=0``, one embedding for all offsets, so
            that its "global context" knows no position at all.

    Raises:
        UserError: as for ``LambdaLayer``.
    """

    def __init__(
        self, dim: int, dim_out: int, *, dim_k: int = 16, heads: int = 4, dim_u: int = 1, scope: int | None = 23
    ):
        super().__init__()
        check_shape(
            dim=dim,
            dim_out=dim_out,
            dim_k=dim_k,
            heads=heads,
            dim_u=dim_u,
            scope=1 if scope is None else scope,
            size=None,
        )
        self.dim_k, self.heads, self.dim_u, self.dim_v, self.scope = dim_k, heads, dim_u, dim_out // heads, scope
        self.queries = nn.Sequential(nn.Conv2d(dim, heads * dim_k, 1, bias=False), nn.BatchNorm2d(heads * dim_k))
        self.keys = nn.Sequential(nn.Conv2d(dim, dim_k * dim_u, 1, bias=False), nn.BatchNorm2d(dim_k * dim_u))
        self.values = nn.Conv2d(dim, self.dim_v * dim_u, 1, bias=False)
        window = () if scope is None else (scope, scope)
        self.embedding = nn.Parameter(torch.randn(dim_k, dim_u, *window))

    def forward(self, x: Tensor) -> Tensor:
        b, _, height, width = x.shape
        queries = self.queries(x).reshape(b, self.heads, self.dim_k, -1)
        keys = self.keys(x).reshape(b, self.dim_k, self.dim_u, -1).softmax(dim=-1)
        values = self.values(x)
        by_depth = values.reshape(b, self.dim_v, self.dim_u, -1)  # the channels read as (v, u) …
        content = torch.einsum("bkum,bvum->bkv", keys, by_depth)
        if self.scope is None:
            position = torch.einsum("ku,bvun->bkvn", self.embedding, by_depth)
        else:
            by_copy = values.reshape(b, self.dim_u, self.dim_v, height, width)  # … and the same channels as (u, v)
            maps = by_copy.transpose(1, 2).reshape(b * self.dim_v, self.dim_u, height, width)
            position = F.conv2d(maps, self.embedding, padding=self.scope // 2)
            position = position.reshape(b, self.dim_v, self.dim_k, -1).transpose(1, 2)
        y = torch.einsum("bhkn,bkv->bhvn", queries, content) + torch.einsum("bhkn,bkvn->bhvn", queries, position)
        return y.reshape(b, -1, height, width)


class OriginalBottleneck(nn.Module):
    """The original's bottleneck around a spatial operator; with a convolution it never shrinks the map.

    Args:
        dim: channels in.
        width: channels of the spatial operator; 4·width go out.
        stride: how much the map should shrink.
        layer: a lambda layer, or ``None`` for the convolutional baseline.
        zero_gamma: the paper's γ = 0 in the last batch norm, which repairs the original's training.
    """

    expansion = 4

    def __init__(self, dim: int, width: int, stride: int, layer: OriginalLambdaLayer | None, zero_gamma: bool = False):
        super().__init__()
        dim_out = width * self.expansion
        first = stride != 1 or dim != dim_out
        if layer is None:
            stride, spatial = 1, [nn.Conv2d(width, width, 3, padding=1, bias=False)]
        else:
            spatial = [layer, nn.AvgPool2d(3, stride, padding=1)] if first else [layer]
        self.residual = nn.Sequential(
            nn.Conv2d(dim, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            *spatial,
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, dim_out, 1, bias=False),
            nn.BatchNorm2d(dim_out),
        )
        if zero_gamma:
            nn.init.zeros_(self.residual[-1].weight)
        self.shortcut = nn.Identity()
        if first:
            self.shortcut = nn.Sequential(nn.Conv2d(dim, dim_out, 1, stride), nn.BatchNorm2d(dim_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))
