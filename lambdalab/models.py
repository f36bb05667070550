"""Residual networks with convolutions and lambda layers, by name.

``create_model("lambda_resnet50", num_classes=10, stem="cifar")`` makes one, ``list_models()`` names them all.
A network is a stem, stages of blocks (each stage after the first halves the map and doubles the width), and a head;
``stages="CCLL"`` says which stages convolve (C) and which have lambda layers (L).
"""

from dataclasses import dataclass, fields, replace
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from lambdalab.blocks import BasicBlock, Bottleneck, Spatial, conv3x3, downsampled, stem
from lambdalab.errors import UserError, did_you_mean
from lambdalab.layers import LambdaLayer
from lambdalab.original import OriginalBottleneck, OriginalLambdaLayer

INITS = ("he", "torch")
BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck, "original": OriginalBottleneck}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that shapes a network; ``ResNet(config)`` builds it.

    Raises:
        UserError: if a value cannot be built; the message names it and what is allowed.
    """

    name: str
    depths: tuple[int, ...]  # blocks in each stage
    block: str = "bottleneck"  # "basic", "bottleneck", or the community code's "original"
    stages: str = "LLLL"  # C: convolutions, L: lambda layers
    width: int = 64  # channels of the stem and of the first stage's spatial operator
    stem: str = "imagenet"  # "imagenet": 7×7 stride 2 and max pool, "cifar": 3×3
    channels: int = 3  # of the pictures
    num_classes: int = 1000
    dim_k: int = 16
    heads: int = 4
    dim_u: int = 1
    scope: int | None = 23  # None: global context, needs image_size
    image_size: int | None = None  # height = width of the pictures
    content: bool = True
    position: bool = True
    contraction: str = "auto"  # order of the lambda layers' sums, by name; "auto": the quickest
    se_ratio: int | None = None  # squeeze-excitation in the convolutional blocks
    zero_gamma: bool = True  # γ = 0 in the last batch norm of each block
    init: str = "he"  # of convolutions and head: "he", ImageNet's, or "torch", PyTorch's own

    def __post_init__(self):
        if set(self.stages) - set("CL") or len(self.stages) != len(self.depths):
            raise UserError(
                f"stages of {self.name} must be {len(self.depths)} letters, each C (convolution) or L (lambda layer); "
                f"got '{self.stages}'"
            )
        if self.stem not in ("imagenet", "cifar"):
            raise UserError(f"stem must be 'imagenet' or 'cifar', got '{self.stem}'")
        if self.init not in INITS:
            raise UserError(f"init must be one of {', '.join(INITS)}; got '{self.init}'")
        for name in ("width", "channels", "num_classes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.se_ratio is not None and not 1 <= self.se_ratio <= self.width:
            raise UserError(f"se_ratio must be between 1 and the width {self.width}, got {self.se_ratio}")
        own = self.se_ratio or not (self.content and self.position) or self.contraction != "auto"
        if self.block == "original" and own:
            raise UserError(
                f"{self.name} is the community code as it was: no se_ratio, no content or position switch, "
                "no contraction"
            )
        if self.block != "original" and self.scope is None and "L" in self.stages and self.image_size is None:
            raise UserError("scope=None is the global context: give image_size, the height and width of the pictures")


class ResNet(nn.Module):
    """A residual network, (b, channels, H, W) → logits (b, num_classes).

    Args:
        config: its shape; kept as ``model.config``.

    Raises:
        UserError: if a layer of this shape cannot be built.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        # A lambda layer works on pixels whose channels lie side by side. Every operator keeps the layout of its input,
        # so that nothing is copied between them: a third of a step's time. The community code does not do so.
        self.layout = torch.contiguous_format if config.block == "original" else torch.channels_last
        self.stem = stem(config.stem, config.channels, config.width)
        dim, size, stages = config.width, config.image_size, []
        if size is not None and config.stem == "imagenet":
            size = -(-size // 4)
        for index, (kind, depth) in enumerate(zip(config.stages, config.depths, strict=True)):
            width, blocks = config.width * 2**index, []
            for block_index in range(depth):
                stride = 2 if index > 0 and block_index == 0 else 1
                blocks.append(make_block(config, kind, dim, width, stride, size))
                dim = width * BLOCKS[config.block].expansion
                size = None if size is None else -(-size // stride)
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(0.3 if config.block == "original" else 0.0)
        self.head = nn.Linear(dim, config.num_classes)
        if config.init == "he":
            self._init_weights()

    def _init_weights(self) -> None:
        """He's N(0, 2/fan_out) for convolutions (arXiv 1502.01852), N(0, 0.01²) for the head; not for lambda layers.

        Before a batch norm the length of weights w changes no output, but a step of rate lr turns them by an angle in
        proportion to lr/|w|² (van Laarhoven 2017, arXiv 1706.05350). PyTorch's own U(±1/√fan_in) makes |w|² smaller,
        to a sixth for a 3×3 convolution and a 24th where 1×1 ones quarter the channels: it learns faster.
        """
        own = {id(module) for layer in self.modules() if isinstance(layer, LambdaLayer) for module in layer.modules()}
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and id(module) not in own:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=self.layout)
        return self.head(self.dropout(self.pool(self.stages(self.stem(x)))))


def make_block(config: ModelConfig, kind: str, dim: int, width: int, stride: int, size: int | None) -> nn.Module:
    """Make one residual block of a stage of ``kind`` "C" or "L" on maps of size×size (``None``: not known)."""
    shape = {"dim_k": config.dim_k, "heads": config.heads, "dim_u": config.dim_u, "scope": config.scope}
    if config.block == "original":
        layer = OriginalLambdaLayer(width, width, **shape) if kind == "L" else None
        return OriginalBottleneck(dim, width, stride, layer, config.zero_gamma)

    def lambda_layer(dim: int, dim_out: int, stride: int) -> nn.Module:
        nonlocal size
        extent = (size, size) if config.scope is None else None
        parts = {"content": config.content, "position": config.position, "contraction": config.contraction}
        layer = LambdaLayer(dim, dim_out, size=extent, **shape, **parts)
        size = None if size is None else -(-size // stride)  # what a second operator of the block works on
        return downsampled(layer, stride)

    spatial: Spatial = lambda_layer if kind == "L" else conv3x3
    se_ratio = config.se_ratio if kind == "C" else None
    return BLOCKS[config.block](dim, width, stride, spatial, se_ratio, config.zero_gamma)


def _configs() -> dict[str, ModelConfig]:
    """All named networks. A depth counts weighted layers: 18 has basic blocks, 26 the same number of bottlenecks."""
    depths = {
        18: (2, 2, 2, 2),
        26: (2, 2, 2, 2),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
        200: (3, 24, 36, 3),
        270: (4, 29, 53, 4),
        350: (4, 36, 72, 4),
        420: (4, 44, 87, 4),
    }
    small = {"stem": "cifar", "num_classes": 10}
    community = {"zero_gamma": False, "init": "torch"}
    configs = [
        ModelConfig("resnet11_tiny", (1, 1, 1), stages="CCC", width=16, **small),
        ModelConfig("lambda_resnet11_tiny", (1, 1, 1), stages="LLL", width=16, **small),
        ModelConfig("resnet20_small", (2, 2, 2), stages="CCC", width=32, **small),
        ModelConfig("lambda_resnet20_small", (2, 2, 2), stages="LLL", width=32, **small),
    ]
    for depth, blocks in depths.items():
        block = "basic" if depth == 18 else "bottleneck"
        if depth <= 152:
            configs.append(ModelConfig(f"resnet{depth}", blocks, block, stages="CCCC"))
        configs.append(ModelConfig(f"lambda_resnet{depth}", blocks, block))
        # The community code calls its network of bottlenecks [2, 2, 2, 2], an honest 26, "18".
        if depth != 26:
            name = f"resnet{depth}_original"
            configs.append(ModelConfig(f"lambda_{name}", blocks, "original", **community))
            if depth in (18, 50):
                configs.append(ModelConfig(name, blocks, "original", stages="CCCC", **community))
    return {config.name: config for config in configs}


CONFIGS = _configs()


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the networks that match a shell pattern, such as ``"lambda_*_original"``."""
    return [name for name in CONFIGS if fnmatch(name, pattern)]


def model_config(name: str, **changes) -> ModelConfig:
    """Return a named network's configuration, with changes.

    Raises:
        UserError: if there is no such network or no such option, or a value is not allowed.
    """
    if name not in CONFIGS:
        raise UserError(f"unknown model '{name}'{did_you_mean(name, list_models())} (list_models() names all)")
    options = [field.name for field in fields(ModelConfig) if field.name not in ("name", "block")]
    for option in changes:
        if option not in options:
            near = did_you_mean(option, options)
            raise UserError(f"unknown option '{option}' of a model{near} (there are {', '.join(options)})")
    return replace(CONFIGS[name], **changes)


def create_model(name: str, **changes) -> ResNet:
    """Make a network by name, with fresh weights.

    Args:
        name: one of ``list_models()``. ``*_original`` are the community code's networks as they were.
        **changes: any field of ``ModelConfig``: num_classes, stem, stages, dim_k, heads, dim_u, scope, se_ratio, …

    Raises:
        UserError: if the name, an option or a value is not allowed.
    """
    return ResNet(model_config(name, **changes))


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable numbers in a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
