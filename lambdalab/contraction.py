"""The position term in four orders of the same sums, and what each costs.

    y_n = Σ_m Σ_u (q_n·E_{m−n,u}) V_mu

Three sums, over m, over k and over u, can be done in any order; the result is the same to rounding, the work is not.
Every function here takes queries (b, H, W, h, k), values (b, H, W, u, v) and an embedding (k, u, r_y, r_x) that holds
no offset a map of this size does not have (``crop``), and returns (b, H, W, h, v). ``position_term`` chooses one.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab import choices, compiled, cuts, tiles, work
from lambdalab.cuts import Tiling
from lambdalab.equations import position_lambda, relative_embeddings
from lambdalab.work import Shape


def crop(embedding: Tensor, size: tuple[int, int]) -> Tensor:
    """Leave out the offsets beyond ±(length − 1), which no two pixels of a map of this size have: exact, and free."""
    beyond = [max(0, r // 2 - (length - 1)) for r, length in zip(embedding.shape[2:], size, strict=True)]
    return embedding[:, :, beyond[0] : embedding.shape[2] - beyond[0], beyond[1] : embedding.shape[3] - beyond[1]]


def lambda_first(queries: Tensor, values: Tensor, embedding: Tensor) -> Tensor:
    """λp_n = Σ_m E_nm V_mᵀ over all pairs of pixels, then y_n = λp_nᵀ q_n: the paper's equations as they stand.

    Multiply-adds: b·n·m·u·k·v + b·h·n·k·v with m = n. Memory: n·m·u·k for E, b·n·k·v for λp.
    """
    size = queries.shape[1:3]
    lambdas = position_lambda(relative_embeddings(embedding, size), values.flatten(1, 2))
    return torch.matmul(queries, lambdas.unflatten(1, size))


def convolve(queries: Tensor, values: Tensor, embedding: Tensor) -> Tensor:
    """λp = E ∗ V, a convolution of every value channel by k kernels, then y_n = λp_nᵀ q_n: the lambda convolution.

    Multiply-adds: b·n·r²·u·k·v + b·h·n·k·v, r² with the zeros of the padding. Memory: b·n·k·v for λp.
    """
    lambdas = lambda_convolution(values, embedding)
    as_it_lies = lambdas.device.type == "cpu" and lambdas.stride(-2) == 1
    if torch.compiler.is_compiling() or not as_it_lies or not len(lambdas):
        return torch.matmul(queries, lambdas)
    # Picture by picture, where the products read λp as the convolution left it; all at once, matmul copies it first,
    # which takes longer than the products.
    pictures = zip(queries.flatten(1, 2), lambdas.flatten(1, 2), strict=True)
    return torch.stack([torch.bmm(*picture) for picture in pictures]).unflatten(1, queries.shape[1:3])


def lambda_convolution(values: Tensor, embedding: Tensor) -> Tensor:
    """λp, (b, H, W, k, v), by one convolution with u channels in and k out, the value channels taken as pictures."""
    b, height, _, u, v = values.shape
    if u == 1 and values.device.type == "cpu" and embedding.shape[2] > max(height, embedding.shape[3]):
        # On its side: for windows twice as tall as the map, and narrow, PyTorch's (oneDNN's) gradient of the weights
        # of one channel writes beyond its memory; seen with 19 rows or more and 13 columns or fewer.
        return lambda_convolution(values.transpose(1, 2), embedding.transpose(2, 3)).transpose(1, 2)
    maps = values.permute(0, 4, 1, 2, 3).flatten(0, 1).contiguous().permute(0, 3, 1, 2)  # (b·v, u, H, W)
    kernels = embedding.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    if not torch.compiler.is_compiling() and not work.channels_last(shape_of(values, values, embedding)):
        maps, kernels = maps.contiguous(), kernels.contiguous()
        if u == 1:  # both layouts are contiguous; PyTorch tells them apart by the channel's stride
            maps, kernels = maps.squeeze(1).unsqueeze(1), kernels.squeeze(1).unsqueeze(1)
    padding = embedding.shape[2] // 2, embedding.shape[3] // 2
    lambdas = F.conv2d(maps, kernels, padding=padding)  # (b·v, k, H, W)
    return lambdas.permute(0, 2, 3, 1).unflatten(0, (b, v)).permute(0, 2, 3, 4, 1)


def position_lambdas(values: Tensor, embedding: Tensor, size: tuple[int, int]) -> Tensor:
    """λp, (b, n, k, v), of values (b, m, u, v), for who wants to see them: over pairs or windows, the fewer."""
    embedding = crop(embedding, size)
    if size[0] * size[1] <= embedding.shape[2] * embedding.shape[3]:
        return position_lambda(relative_embeddings(embedding, size), values)
    return lambda_convolution(values.unflatten(1, size), embedding).flatten(1, 2)


def map_first(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """a_nm = q_n·E_{m−n}, then y_n = Σ_m a_nm V_m: attention's order, a tile of the map at a time.

    "dense" when a tile holds all pixels of its pictures, "banded" when a block meets only the window its scope sees.
    Multiply-adds: b·n·m·u·h·(k + v), with m the window's pixels. Memory: a tile, also in the backward pass, where each
    tile is computed anew. A second derivative goes through ``convolve``.
    """
    return torch.ops.lambdalab.position_term(queries, values, embedding, *tiling)


def position_term(
    queries: Tensor, values: Tensor, embedding: Tensor, order: str = "auto", tile_bytes: int | None = None
) -> Tensor:
    """The position term in the quickest order for its shape, or in the one of this name (``choices.ORDERS``).

    While a model is compiled, tiles are planned when it runs, since sizes may be symbols; while it is exported, the
    map-first orders stand back, so that the program consists of PyTorch's own operations.
    """
    if torch.compiler.is_exporting():
        pairs_are_fewer = queries.shape[1] * queries.shape[2] <= embedding.shape[2] * embedding.shape[3]
        order = "lambda" if order == "lambda" or (order != "convolve" and pairs_are_fewer) else "convolve"
    elif not torch.compiler.is_compiling():
        way = choices.choose(shape_of(queries, values, embedding), order, tile_bytes)
        return compute(way.order, way.tiling, queries, values, embedding)
    return compute(order, Tiling(0, 0, order, tile_bytes or 0), queries, values, embedding)


def compute(order: str, tiling: Tiling | None, queries: Tensor, values: Tensor, embedding: Tensor) -> Tensor:
    """The position term in the order of this name; the map-first orders take a tiling."""
    if order == "lambda":
        return lambda_first(queries, values, embedding)
    if order == "convolve":
        return convolve(queries, values, embedding)
    return map_first(queries, values, embedding, tiling)


def shape_of(queries: Tensor, values: Tensor, embedding: Tensor) -> Shape:
    """What the choice of an order depends on."""
    training = torch.is_grad_enabled() and any(each.requires_grad for each in (queries, values, embedding))
    b, height, width, h, k = queries.shape
    u, v = values.shape[3:]
    window = tuple(embedding.shape[2:])
    return Shape(b, height, width, k, v, h, u, window, queries.device.type, queries.dtype, training)


def content_term(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """y_n = λcᵀ q_n, with λc = Σ_m K̄_m V_mᵀ: two small products, (k, m)·(m, v) and (n·h, k)·(k, v).

    Kept apart from the position term: one λc for a picture is never added to n position lambdas.

    Args:
        queries: (b, H, W, h, k).
        keys: (b, m, u, k), before their softmax over m.
        values: (b, H, W, u, v).

    Returns:
        (b, H, W, h, v).
    """
    weights = keys.softmax(dim=1).flatten(1, 2)  # (b, m·u, k)
    content = torch.bmm(weights.transpose(1, 2), values.flatten(1, 3))
    return torch.bmm(queries.flatten(1, 3), content).view(*queries.shape[:4], values.shape[4])


# An operator of its own, so that torch.compile and torch.export see one step and not hundreds of tiles. Declared by
# ``Library`` and not by ``custom_op``, whose first call loads the whole compiler: a second, and 100 MB.
_LIBRARY = torch.library.Library("lambdalab", "DEF")
_ARGUMENTS = "Tensor queries, Tensor values, Tensor embedding, int rows, int columns, str share, int together"
_LIBRARY.define(f"position_term({_ARGUMENTS}) -> Tensor")
_LIBRARY.define(f"position_term_gradients(Tensor grad, {_ARGUMENTS}) -> (Tensor, Tensor, Tensor)")


@torch.library.impl(_LIBRARY, "position_term", "CompositeExplicitAutograd")
def _position_term(queries, values, embedding, *tiling):
    tiling = planned(queries, values, embedding, Tiling(*tiling))
    return products_of(tiling, queries.device.type).position_term(queries, values, embedding, tiling)


@torch.library.impl(_LIBRARY, "position_term_gradients", "CompositeExplicitAutograd")
def _position_term_gradients(grad, queries, values, embedding, *tiling):
    tiling = planned(queries, values, embedding, Tiling(*tiling))
    products = products_of(tiling, queries.device.type)
    return products.position_term_gradients(grad, queries, values, embedding, tiling)


def products_of(tiling: Tiling, device: str):
    """The module that has the products of a tiling."""
    if tiling != cuts.KERNEL:
        return tiles
    if device == "cpu":
        return compiled
    # Here, because Triton takes a while to load and is not everywhere.
    from lambdalab import kernels

    return kernels


def planned(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tiling:
    """A tiling of no rows stands for one yet to be planned, of the order and the tile's bytes in its other fields."""
    if tiling.rows:
        return tiling
    orders = choices.MAP_FIRST if tiling.share == "auto" else (tiling.share,)
    shape = shape_of(queries, values, embedding)._replace(training=True)
    ways = [way for way in choices.alternatives(shape, tiling.together or None) if way.order in orders]
    return max(ways, key=lambda way: way.fits).tiling  # the first that fits, else the first


@torch.library.register_fake("lambdalab::position_term")
def _(queries, values, embedding, *tiling):
    return queries.new_empty(*queries.shape[:4], values.shape[4])


@torch.library.register_fake("lambdalab::position_term_gradients")
def _(grad, queries, values, embedding, *tiling):
    return queries.new_empty(queries.shape), values.new_empty(values.shape), embedding.new_empty(embedding.shape)


def _remember(ctx, inputs, output):
    *tensors, rows, columns, share, together = inputs
    ctx.save_for_backward(*tensors)
    ctx.tiling = rows, columns, share, together


def _backward(ctx, grad):
    tensors = ctx.saved_tensors
    if torch.is_grad_enabled():  # a second derivative is wanted: by PyTorch's own operations, which have one
        gradients = torch.autograd.grad(convolve(*tensors), tensors, grad, create_graph=True)
    else:
        gradients = torch.ops.lambdalab.position_term_gradients(grad, *tensors, *ctx.tiling)
    return (*gradients, None, None, None, None)


torch.library.register_autograd("lambdalab::position_term", _backward, setup_context=_remember)
