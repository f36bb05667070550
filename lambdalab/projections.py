"""Queries, keys and values of all pixels: 1×1 convolutions, with a batch norm or none, as one matrix product.

Apart, each makes a gradient of all pixels in the backward pass, and these are added up. As one product they take 2 to
5 % less of a layer's training step; forward alone they take more, by what it costs to copy the results apart.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def projected(pixels: Tensor, maps: Sequence[tuple[nn.Conv2d, nn.Module | None]]) -> list[Tensor]:
    """Return norm(W·x) for each map: a 1×1 convolution without a bias, and its batch norm or ``None``.

    In evaluation a batch norm is part of the weights: W′ = γ/σ·W, with the bias β − γ/σ·μ.

    Args:
        pixels: x, (b, H, W, channels), as the results are.
        maps: in the order of the results.
    """
    weights, biases, norms = zip(*(_fold(*each) for each in maps), strict=True)
    if torch.is_grad_enabled():
        together = F.linear(pixels, torch.cat(weights))
        parts = torch.split_with_sizes_copy(together, [len(weight) for weight in weights], dim=3)
        parts = [part if bias is None else part + bias for part, bias in zip(parts, biases, strict=True)]
    else:
        parts = [F.linear(pixels, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    return [_normed(part, norm) for part, norm in zip(parts, norms, strict=True)]


def _fold(conv: nn.Conv2d, norm: nn.Module | None) -> tuple[Tensor, Tensor | None, nn.Module | None]:
    """The weight, the bias, and the norm that is left to do."""
    weight = conv.weight.flatten(1)
    if isinstance(norm, nn.BatchNorm2d) and not norm.training and norm.affine and norm.track_running_stats:
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return weight * scale[:, None], norm.bias - norm.running_mean * scale, None
    return weight, None, norm


def _normed(y: Tensor, norm: nn.Module | None) -> Tensor:
    return y if norm is None else norm(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
