"""The blocks of a residual network, whose spatial operator is a 3×3 convolution or a lambda layer.

Sources: He et al. 2016 (arXiv 1512.03385) for the blocks, Goyal et al. 2017 (arXiv 1706.02677) for γ = 0,
Hu et al. 2018 (arXiv 1709.01507) for squeeze-excitation, Bello 2021 (arXiv 2102.08602) for the lambda layer in them.
"""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

# (channels in, channels out, stride) → the operator that looks beyond a pixel
Spatial = Callable[[int, int, int], nn.Module]


def conv3x3(dim: int, dim_out: int, stride: int = 1) -> nn.Conv2d:
    """The convolutional network's spatial operator."""
    return nn.Conv2d(dim, dim_out, 3, stride, padding=1, bias=False)


def downsampled(layer: nn.Module, stride: int) -> nn.Module:
    """A layer without a stride of its own, followed by the paper's 3×3 average pool where the map shrinks."""
    return layer if stride == 1 else nn.Sequential(layer, nn.AvgPool2d(3, stride, padding=1))


def norm_relu(dim: int) -> nn.Sequential:
    """Batch norm, then ReLU."""
    return nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(inplace=True))


class SqueezeExcitation(nn.Module):
    """Channel attention: x · σ(W₂ relu(W₁ mean(x))), with a bottleneck of dim/ratio channels."""

    def __init__(self, dim: int, ratio: int):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, dim // ratio, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim // ratio, dim, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + residual(x)), (b, dim, H, W) → (b, dim_out, H/stride, W/stride)."""

    expansion: int

    def __init__(
        self, dim: int, width: int, stride: int, spatial: Spatial, se_ratio: int | None = None, zero_gamma: bool = True
    ):
        super().__init__()
        dim_out = width * self.expansion
        operators = self.operators(dim, width, stride, spatial)
        operators["last_norm"] = nn.BatchNorm2d(dim_out)
        if zero_gamma:
            # Every block starts as the identity. Without it a lambda network of 16 blocks has gradients of norm 10⁶ at
            # step 0: y = λ(x)ᵀq(x) is quadratic in x, and its scale squares itself block after block.
            nn.init.zeros_(operators["last_norm"].weight)
        if se_ratio:
            operators["squeeze_excitation"] = SqueezeExcitation(dim_out, se_ratio)
        self.residual = nn.Sequential(operators)
        self.shortcut = nn.Identity()
        if stride != 1 or dim != dim_out:
            self.shortcut = nn.Sequential(nn.Conv2d(dim, dim_out, 1, stride, bias=False), nn.BatchNorm2d(dim_out))
        self.relu = nn.ReLU(inplace=True)

    def operators(self, dim: int, width: int, stride: int, spatial: Spatial) -> OrderedDict[str, nn.Module]:
        """The residual's operators up to its last batch norm, by name."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shortcut(x) + self.residual(x))


class BasicBlock(ResidualBlock):
    """Two spatial operators of equal width: the block of ResNet-18."""

    expansion = 1

    def operators(self, dim: int, width: int, stride: int, spatial: Spatial) -> OrderedDict[str, nn.Module]:
        return OrderedDict(
            spatial=spatial(dim, width, stride), spatial_norm=norm_relu(width), second_spatial=spatial(width, width, 1)
        )


class Bottleneck(ResidualBlock):
    """1×1 down, one spatial operator, 1×1 up to four times the width: the block of ResNet-50 and LambdaResNets."""

    expansion = 4

    def operators(self, dim: int, width: int, stride: int, spatial: Spatial) -> OrderedDict[str, nn.Module]:
        return OrderedDict(
            reduce=nn.Conv2d(dim, width, 1, bias=False),
            reduce_norm=norm_relu(width),
            spatial=spatial(width, width, stride),
            spatial_norm=norm_relu(width),
            expand=nn.Conv2d(width, width * self.expansion, 1, bias=False),
        )


def stem(kind: str, channels: int, dim: int) -> nn.Sequential:
    """The network's first layers: "imagenet" shrinks a picture to a quarter, "cifar" keeps its size."""
    if kind == "cifar":
        return nn.Sequential(nn.Conv2d(channels, dim, 3, padding=1, bias=False), norm_relu(dim))
    convolution = nn.Conv2d(channels, dim, 7, stride=2, padding=3, bias=False)
    return nn.Sequential(convolution, norm_relu(dim), nn.MaxPool2d(3, stride=2, padding=1))
