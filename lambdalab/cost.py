"""What layers and networks cost, by formula: parameters, multiply-adds, and numbers kept for the backward pass.

Letters are the paper's (see ``layers``); n = m pixels. Closed forms, exact: the tests compare them with what the
modules hold and do. The paper's own cost formulas are section 3.2 and tables 2 and 4 of arXiv 2102.08602.
"""

from dataclasses import dataclass
from math import prod

from lambdalab.blocks import BasicBlock
from lambdalab.errors import UserError
from lambdalab.layers import check_shape
from lambdalab.models import BLOCKS, ModelConfig

COUNTS = ("computed", "paper", "inside")
ORDERS = ("lambda", "map")


@dataclass(frozen=True)
class Cost:
    """What a layer or a network costs in one training step; costs add up.

    Attributes:
        parameters: trainable numbers.
        macs: multiply-adds of all products and convolutions in the forward pass, padding included; two FLOPs each.
            Additions, norms, softmaxes and pools are left out, as in the paper and in ``torch.utils.flop_counter``.
        activations: numbers that the backward pass needs besides the weights: every product's operands, what a batch
            norm normalises and its statistics, what leaves a softmax, ReLU or gate, the choices of a max pool. Each
            counts once, however many operations need it; frameworks also keep copies in other orders.
    """

    parameters: int = 0
    macs: int = 0
    activations: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.macs + other.macs, self.activations + other.activations)


def convolution_cost(
    dim: int, size: tuple[int, int], dim_out: int | None = None, *, kernel=3, stride=1, bias=False, batch=1
) -> Cost:
    """A convolution that keeps the size (or divides it by the stride, rounding up).

    Parameters kernel²·dim·dim_out; MACs as many for each pixel out; keeps its input.
    """
    dim_out = dim if dim_out is None else dim_out
    weights = kernel**2 * dim * dim_out
    return Cost(weights + bias * dim_out, batch * weights * prod(_shrunk(size, stride)), batch * dim * prod(size))


def attention_cost(
    dim: int, size: tuple[int, int], dim_out: int | None = None, *, dim_k=16, heads=4, scope=None, batch=1
) -> Cost:
    """``SelfAttention2d``: q·k, q·E and a·v for all n·m pairs, also where a scope hides most of them.

    MACs nd(2hk + d) + nm(2hk + d); keeps x, Q, K, V, the embeddings E spread over the pairs, nmk, which of them
    each pair has, nm, and, what hurts, the maps, bhnm.
    """
    dim_out = dim if dim_out is None else dim_out
    check_shape(dim=dim, dim_out=dim_out, dim_k=dim_k, heads=heads, scope=scope, size=None if scope else size)
    n, projected = prod(size), 2 * heads * dim_k + dim_out
    return Cost(
        parameters=dim * projected + dim_k * _window(size, scope),
        macs=batch * n * dim * projected + batch * n * n * projected,
        activations=batch * n * (dim + projected) + n * n * (dim_k + 1) + batch * heads * n * n,
    )


def lambda_cost(
    dim: int,
    size: tuple[int, int],
    dim_out: int | None = None,
    *,
    dim_k=16,
    heads=4,
    dim_u=1,
    scope=23,
    content=True,
    position=True,
    batch=1,
    count="computed",
    order="lambda",
) -> Cost:
    """``LambdaLayer``; ``scope=None`` is the global context.

    MACs nd(hk + uk + uv) for Q, K and V, nukv for λc, (pairs)·ukv for λp and nhkv for each application. Keeps x; Q
    and V before and after their batch norms; K̄; λc, bkv; λp, bnkv; and for the global context the embeddings spread
    over all pairs, nmuk, and which of them each pair has, nm; a batch shares these two. With ``order="map"``: MACs
    (pairs)·uh(k + v) for the position term and nhkv to apply λc; neither λp nor spread embeddings are kept.

    Args:
        dim: channels in.
        size: (H, W) of the pictures.
        dim_out: channels out; ``dim`` if not given.
        dim_k: depth k.
        heads: number h of heads.
        dim_u: intra-depth u.
        scope: width of the position lambda's window.
        content: whether there is a content lambda.
        position: whether there are position lambdas.
        batch: pictures in a step.
        count: how MACs are counted. "computed": what the module does with ``contraction="convolve"`` (for the global
            context "lambda"), which is what a FLOP counter sees: a padded convolution over the offsets that the map
            has, λc and λp applied one after the other. "paper": each query sums over min(scope², m) positions, and
            λc + λp is applied once. "inside": as "paper", but only over the positions that lie inside the picture.
        order: of the position term's sums. "lambda": λp first, as in the paper. "map": q·E first, as in attention
            (``contraction`` "dense" or "banded"), whose tiles have some more pairs than "inside" at their edges.
    """
    if order not in ORDERS:
        raise UserError(f"order must be one of {', '.join(ORDERS)}; got '{order}'")
    dim_out = dim if dim_out is None else dim_out
    check_shape(
        dim=dim, dim_out=dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, scope=scope, size=None if scope else size
    )
    n, kv, applied = prod(size), dim_k * dim_out // heads, content + position if count == "computed" else 1
    query, key, value = heads * dim_k, content * dim_u * dim_k, dim_u * dim_out // heads
    cost = Cost(dim * (query + key + value), batch * n * dim * (query + key + value), batch * n * (dim + query))
    cost += _norm(query, n, batch) + _norm(value, n, batch) + Cost(activations=batch * n * value)
    if content:
        cost += Cost(0, batch * n * dim_u * kv, batch * (n * key + kv))
    if position:
        context = batch * pairs(size, scope, count) * dim_u
        cost += Cost(dim_k * dim_u * _window(size, scope), context * (kv if order == "lambda" else query + dim_out))
    if position and order == "lambda":
        cost += Cost(activations=batch * n * kv + (n * n * (dim_u * dim_k + 1) if scope is None else 0))
    return cost + Cost(macs=batch * n * heads * kv * (applied if order == "lambda" else content))


def pairs(size: tuple[int, int], scope: int | None, count: str = "computed") -> int:
    """Number of pairs (query, context position) that position lambdas sum over; see ``lambda_cost`` for ``count``."""
    if count not in COUNTS:
        raise UserError(f"count must be one of {', '.join(COUNTS)}; got '{count}'")
    n = prod(size)
    if scope is None:
        return n * n
    if count == "paper":
        return n * min(scope**2, n)
    if count == "computed":
        return n * prod(min(scope, 2 * side - 1) for side in size)
    # Along an axis of length s, s − o pairs are o apart: s of them with o = 0, and twice as many with each other o.
    reach = [min(scope // 2, side - 1) for side in size]
    return prod(side * (2 * r + 1) - r * (r + 1) for side, r in zip(size, reach, strict=True))


def compare_layers(
    dim: int, side: int, *, batch=1, dim_k=16, heads=4, dim_u=1, scope: int | None = 23
) -> dict[str, Cost]:
    """The bills of a 3×3 convolution, global self-attention and a lambda layer on side×side pictures, by name."""
    size, shape = (side, side), {"dim_k": dim_k, "heads": heads, "batch": batch}
    return {
        "3×3 convolution": convolution_cost(dim, size, batch=batch),
        "self-attention": attention_cost(dim, size, **shape),
        "lambda layer": lambda_cost(dim, size, dim_u=dim_u, scope=scope, **shape),
    }


def original_lambda_cost(
    dim: int, size: tuple[int, int], dim_out: int | None = None, *, dim_k=16, heads=4, dim_u=1, scope=23, batch=1
) -> Cost:
    """``OriginalLambdaLayer``: batch norm on keys instead of values, always a convolution over the whole window."""
    dim_out = dim if dim_out is None else dim_out
    n, kv, window = prod(size), dim_k * dim_out // heads, 1 if scope is None else scope**2
    query, key, value = heads * dim_k, dim_u * dim_k, dim_u * dim_out // heads
    projected = query + key + value
    macs = dim * projected + dim_u * kv * (1 + window) + 2 * heads * kv
    cost = Cost(dim * projected + dim_k * dim_u * window, batch * n * macs, batch * n * (dim + projected))
    return cost + _norm(query, n, batch) + _norm(key, n, batch) + Cost(activations=batch * (kv + n * kv))


def model_cost(config: ModelConfig, size: int, batch: int = 1, count: str = "computed", order: str = "lambda") -> Cost:
    """A whole network on pictures of size×size, from its configuration; ``count``, ``order`` as in ``lambda_cost``.

    Raises:
        UserError: if the configuration's global context was made for another size, or count is unknown.
    """
    if config.block != "original" and config.scope is None and config.image_size != size and "L" in config.stages:
        raise UserError(f"{config.name} was made for pictures of {config.image_size}×{config.image_size}, got {size}")
    cifar, side = config.stem == "cifar", (size, size)
    kernel, stride = (3, 1) if cifar else (7, 2)
    cost = convolution_cost(config.channels, side, config.width, kernel=kernel, stride=stride, batch=batch)
    side = _shrunk(side, stride)
    cost += _norm(config.width, prod(side), batch)
    if not cifar:  # the max pool keeps its input, and which pixel it chose
        pooled = _shrunk(side, 2)
        cost += Cost(activations=batch * config.width * (prod(side) + prod(pooled)))
        side = pooled
    dim = config.width
    for index, (kind, depth) in enumerate(zip(config.stages, config.depths, strict=True)):
        for block in range(depth):
            stride = 2 if index > 0 and block == 0 else 1
            how = {"batch": batch, "count": count, "order": order}
            part, dim, side = _block(config, kind, dim, config.width * 2**index, side, stride, how)
            cost += part
    dropout = config.block == "original"
    kept = batch * dim * (prod(side) + 1 + dropout)
    return cost + Cost((dim + 1) * config.num_classes, batch * dim * config.num_classes, kept)


def _block(config, kind, dim, width, size, stride, how) -> tuple[Cost, int, tuple[int, int]]:
    """One residual block: its cost, the channels and the size that leave it. The kept input is counted once."""
    kind_of_block, original = BLOCKS[config.block], config.block == "original"
    dim_out, first = width * kind_of_block.expansion, stride != 1 or dim != width * kind_of_block.expansion
    if original and kind == "C":
        stride = 1  # the community code's baseline never shrinks the map
    batch, after = how["batch"], _shrunk(size, stride)
    shape = {"dim_k": config.dim_k, "heads": config.heads, "dim_u": config.dim_u, "scope": config.scope}

    def spatial(dim: int, size: tuple[int, int], stride: int) -> Cost:
        if kind == "C":
            return convolution_cost(dim, size, width, stride=stride, batch=batch)
        pool = Cost(activations=batch * width * prod(size) if stride != 1 or (original and first) else 0)
        if original:
            return pool + original_lambda_cost(dim, size, width, **shape, batch=batch)
        parts = {"content": config.content, "position": config.position}
        return pool + lambda_cost(dim, size, width, **shape, **parts, **how)

    if kind_of_block is BasicBlock:
        cost = spatial(dim, size, stride) + _norm(width, prod(after), batch) + spatial(width, after, 1)
    else:
        cost = convolution_cost(dim, size, width, kernel=1, batch=batch) + _norm(width, prod(size), batch)
        cost += spatial(width, size, stride) + _norm(width, prod(after), batch)
        cost += convolution_cost(width, after, dim_out, kernel=1, batch=batch)
    cost += _norm(dim_out, prod(after), batch)
    if config.se_ratio and kind == "C":
        hidden = dim_out // config.se_ratio
        kept = dim_out * prod(after) + 2 * dim_out + hidden
        cost += Cost(2 * dim_out * hidden + dim_out + hidden, batch * 2 * dim_out * hidden, batch * kept)
    if first:
        macs = batch * dim * dim_out * prod(after)
        cost += Cost(dim * dim_out + original * dim_out, macs) + _norm(dim_out, prod(after), batch)
    return cost, dim_out, after


def _norm(channels: int, pixels: int, batch: int) -> Cost:
    """A batch norm: γ and β; keeps its input and two statistics a channel."""
    return Cost(2 * channels, 0, batch * channels * pixels + 2 * channels)


def _shrunk(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


def _window(size: tuple[int, int], scope: int | None) -> int:
    """Offsets that have an embedding: the window's, or all there are in a picture."""
    return scope**2 if scope else prod(2 * side - 1 for side in size)
