"""A network's shapes: which map each layer works on, what of a scope exists there, and where the parameters sit.

Maps and offsets follow from a ``ModelConfig`` and the pictures' size by arithmetic: nothing is built or run. The
closed forms hold for all networks of ``list_models()``, the community code's ``*_original`` included.
"""

from torch import nn

from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.models import ModelConfig, ResNet
from lambdalab.original import OriginalLambdaLayer

PARTS = ("stem", "1×1 convolutions", "spatial operator", "position embeddings", "squeeze-excitation", "norms", "head")


def halved(size: int) -> int:
    """Return the size of a map after an operator of stride 2: ⌈size/2⌉, since every kernel here is padded."""
    return -(-size // 2)


def stage_maps(config: ModelConfig, size: int) -> list[int]:
    """Return the height (= width) of the map that comes out of the stem and out of each stage.

    Args:
        config: the network's shape.
        size: height and width of the pictures.

    Raises:
        UserError: if size is not positive.
    """
    if size < 1:
        raise UserError(f"a picture's size must be at least 1, got {size}")
    maps = [size if config.stem == "cifar" else halved(halved(size))]
    for index, kind in enumerate(config.stages):
        maps.append(halved(maps[-1]) if _shrinks(config, index, kind) else maps[-1])
    return maps


def lambda_maps(config: ModelConfig, size: int) -> list[int]:
    """Return the height (= width) of the map that each lambda layer works on, one for each layer, from first to last.

    A stage halves its map in its first block, by an average pool *after* the lambda layer: the first layer of a stage
    still works on the map that comes in. A basic block has two layers, and only its first comes before the pool.

    Args:
        config: the network's shape.
        size: height and width of the pictures.
    """
    before = stage_maps(config, size)
    after, layers = before[1:], 2 if config.block == "basic" else 1
    maps = []
    for kind, depth, size_in, size_out in zip(config.stages, config.depths, before, after, strict=False):
        if kind == "L":
            maps += [size_in] + [size_out] * (depth * layers - 1)
    return maps


def usable_offsets(scope: int | None, size: int) -> int:
    """Return how many offsets of a scope×scope window occur on a size×size map: min(scope, 2·size − 1)².

    Along an axis of ``size`` pixels two positions are at most size − 1 apart, so there are 2·size − 1 offsets. The
    others are never looked up, whatever the picture: their embeddings are never used and never get a gradient.

    Args:
        scope: odd width of the window; ``None``: the global context, whose table has just the offsets that occur.
        size: height and width of the map.
    """
    occurring = 2 * size - 1
    return (occurring if scope is None else min(scope, occurring)) ** 2


def usable_positions(config: ModelConfig, size: int) -> tuple[int, int]:
    """Return how many position parameters, k·u for each offset, can ever get a gradient, and how many there are.

    Args:
        config: the network's shape.
        size: height and width of the pictures.

    Raises:
        UserError: for a global context made for pictures of another size.
    """
    maps = lambda_maps(config, size) if config.position else []
    depth = config.dim_k * config.dim_u
    if config.scope is None and config.block == "original":  # its "global context" is one embedding for all offsets
        return (len(maps) * depth,) * 2
    if config.scope is None and maps and size != config.image_size:
        raise UserError(f"this global context was made for image_size={config.image_size}, not for {size}")
    usable = [usable_offsets(config.scope, each) for each in maps]
    window = usable if config.scope is None else [config.scope**2] * len(maps)
    return depth * sum(usable), depth * sum(window)


def usable_share(config: ModelConfig, size: int) -> float:
    """Return the share of a network's position parameters that can ever get a gradient on pictures of size×size.

    1.0 for a network without any: none of them lies idle.
    """
    usable, total = usable_positions(config, size)
    return usable / total if total else 1.0


def parameters_by_part(model: ResNet) -> dict[str, dict[str, int]]:
    """Return how many parameters each part of the stem, of each stage and of the head has; shapes on "meta" will do.

    The spatial operator is the 3×3 convolution, or the lambda layer's projections W_Q, W_K, W_V; batch norms count as
    norms wherever they are.

    Returns:
        ``{"stem": {part: count}, "stage 1": {…}, …, "head": {…}}`` with the parts of ``PARTS`` that are there.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, (LambdaLayer, OriginalLambdaLayer))]
    inside = tuple(f"{name}." for name in layers)
    places: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        first, _, rest = name.partition(".")
        place = f"stage {int(rest.partition('.')[0]) + 1}" if first == "stages" else first
        if isinstance(owner, nn.BatchNorm2d):
            part = "norms"
        elif first != "stages":
            part = first
        elif name.endswith("embedding"):
            part = "position embeddings"
        elif "squeeze_excitation" in name:
            part = "squeeze-excitation"
        else:
            part = "spatial operator" if name.startswith(inside) or owner.kernel_size != (1, 1) else "1×1 convolutions"
        counts = places.setdefault(place, {})
        counts[part] = counts.get(part, 0) + parameter.numel()
    return places


def _shrinks(config: ModelConfig, index: int, kind: str) -> bool:
    """Whether a stage halves its map: all but the first do, and the original's convolutional ones never."""
    return index > 0 and not (config.block == "original" and kind == "C")
