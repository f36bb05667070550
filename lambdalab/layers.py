"""The lambda layer: long-range interactions without attention.

Source: Irwan Bello, "LambdaNetworks: Modeling Long-Range Interactions Without Attention", ICLR 2021, arXiv 2102.08602.

Letters are the paper's, as in ``equations``, whose functions ``LambdaLayer`` applies to a picture.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lambdalab import contraction, planner
from lambdalab.choices import ORDERS
from lambdalab.equations import content_lambda
from lambdalab.errors import UserError, did_you_mean
from lambdalab.projections import projected
from lambdalab.work import Shape


class Projections(NamedTuple):
    """What a layer reads from its input: one linear map each, the first and the last followed by batch norm."""

    queries: Tensor  # (b, h, n, k)
    keys: Tensor | None  # (b, m, u, k), before their softmax over m; None without a content lambda
    values: Tensor  # (b, m, u, v)


class Lambdas(NamedTuple):
    """What a layer computed on the way to its output: y = apply(queries, content) + apply(queries, position)."""

    queries: Tensor  # (b, h, n, k)
    content: Tensor  # (b, k, v)
    position: Tensor  # (b, n, k, v)


class LambdaLayer(nn.Module):
    """Lambda layer on pictures, (b, dim, H, W) → (b, dim_out, H, W), for h multi-query heads of depth v = dim_out/h.

    Q = BN(X W_Q), K = X W_K, V = BN(X W_V); λ_n = λc + λp_n; y_n = concat over heads of λ_nᵀ q_n. The content lambda
    sees the whole picture; the position lambda sees a window of scope×scope offsets (the lambda convolution), or
    every offset of a picture of known size (global context). Initialised as in the paper's code:
    W_Q ~ N(0, 1/(k·dim)), W_K, W_V ~ N(0, 1/dim), E ~ N(0, 1).

    Args:
        dim: channels in.
        dim_out: channels out; ``dim`` if not given.
        dim_k: depth k of queries and keys.
        heads: number h of queries that share one λ.
        dim_u: intra-depth u: the context is read u times, with other keys, values and embeddings, and summed over.
        scope: odd width r of the position lambda's window, or ``None`` for the global context.
        size: (H, W) of the pictures; needed for the global context only.
        content: whether to have a content lambda.
        position: whether to have a position lambda.
        contraction: the order of the position term's sums, by name, or "auto": the one that ``planner`` predicts to be
            the quickest, or as quick with less memory. All give the same result to rounding; ``layer.plan(size)``
            shows what each costs.
        tile_bytes: the most memory for a tile of the map where the order is "dense" or "banded"; by default 4 MiB,
            which stay in a core's cache, and 256 MiB on a GPU.

    Raises:
        UserError: if a number is not positive, heads do not divide dim_out, scope is even, size is missing or not
            wanted, contraction is unknown, or neither lambda is left.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        *,
        dim_k: int = 16,
        heads: int = 4,
        dim_u: int = 1,
        scope: int | None = 23,
        size: tuple[int, int] | None = None,
        content: bool = True,
        position: bool = True,
        contraction: str = "auto",
        tile_bytes: int | None = None,
    ):
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_shape(
            dim=dim,
            dim_out=dim_out,
            dim_k=dim_k,
            heads=heads,
            dim_u=dim_u,
            scope=scope,
            size=size,
            tile_bytes=1 if tile_bytes is None else tile_bytes,
        )
        if not (content or position):
            raise UserError("a lambda layer needs content=True or position=True, or both")
        if contraction not in ("auto", *ORDERS):
            raise UserError(
                f"unknown contraction '{contraction}'{did_you_mean(contraction, ORDERS)} "
                f"(there are auto, {', '.join(ORDERS)})"
            )
        self.dim, self.dim_out, self.dim_k, self.heads, self.dim_u = dim, dim_out, dim_k, heads, dim_u
        self.dim_v = dim_out // heads
        self.scope, self.size, self.content, self.position = scope, size, content, position
        self.contraction, self.tile_bytes = contraction, tile_bytes

        self.to_q = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.norm_q = nn.BatchNorm2d(heads * dim_k)
        self.to_k = nn.Conv2d(dim, dim_u * dim_k, 1, bias=False) if content else None
        self.to_v = nn.Conv2d(dim, dim_u * self.dim_v, 1, bias=False)
        self.norm_v = nn.BatchNorm2d(dim_u * self.dim_v)
        window = (scope, scope) if size is None else (2 * size[0] - 1, 2 * size[1] - 1)
        self.embedding = nn.Parameter(torch.empty(dim_k, dim_u, *window)) if position else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as the paper's code does; batch norms start as the identity."""
        nn.init.normal_(self.to_q.weight, std=(self.dim_k * self.dim) ** -0.5)
        nn.init.normal_(self.to_v.weight, std=self.dim**-0.5)
        if self.content:
            nn.init.normal_(self.to_k.weight, std=self.dim**-0.5)
        if self.position:
            nn.init.normal_(self.embedding)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self._read(x)
        y = self._position_term(queries, values) if self.position else None
        if self.content:
            content = contraction.content_term(queries, keys, values)
            y = content if y is None else y.add_(content)
        if y.requires_grad:
            y.register_hook(_channels_last)  # once for both terms
        return y.flatten(3).permute(0, 3, 1, 2)

    def lambdas(self, x: Tensor) -> Lambdas:
        """Return the queries and both lambdas for x, (b, dim, H, W); a lambda that is switched off is ``None``.

        ``forward`` never forms the position lambdas unless that is the cheapest order.

        Raises:
            UserError: as ``project``.
        """
        queries, keys, values = self.project(x)
        content = content_lambda(keys, values) if self.content else None
        position = contraction.position_lambdas(values, self.embedding, x.shape[2:]) if self.position else None
        return Lambdas(queries, content, position)

    def project(self, x: Tensor) -> Projections:
        """Return queries, keys and values of x, (b, dim, H, W).

        Raises:
            UserError: if x has other channels than ``dim``, or another size than the global context's.
        """
        queries, keys, values = self._read(x)
        return Projections(queries.flatten(1, 2).transpose(1, 2), keys, values.flatten(1, 2))

    def plan(self, size: tuple[int, int], batch: int = 32, *, measure: bool = False) -> "planner.Plan":
        """Return the order of the sums chosen for pictures of a size (H, W), with the alternatives; print it to see.

        For the layer as it is: its device, data type, mode (training or not) and ``contraction``.

        Args:
            size: (H, W).
            batch: pictures.
            measure: whether to time every order as well.

        Raises:
            UserError: if the layer has no position lambda, and so nothing to plan.
        """
        if not self.position:
            raise UserError("a layer without a position lambda has one order only: there is nothing to plan")
        weight = self.to_v.weight
        shape = Shape(
            *(batch, *size, self.dim_k, self.dim_v, self.heads, self.dim_u),
            window=tuple(contraction.crop(self.embedding, size).shape[2:]),
            device=weight.device.type,
            dtype=weight.dtype,
            training=self.training,
        )
        return planner.plan(shape, self.contraction, self.tile_bytes, measure=measure)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Queries (b, H, W, h, k), keys (b, m, u, k), values (b, H, W, u, v): channels last, whatever x is."""
        self._check_input(x)
        maps = [(self.to_q, self.norm_q), (self.to_v, self.norm_v), *([(self.to_k, None)] if self.content else [])]
        queries, values, *keys = projected(x.permute(0, 2, 3, 1).contiguous(), maps)
        queries = queries.unflatten(3, (self.heads, self.dim_k))
        values = values.unflatten(3, (self.dim_u, self.dim_v))
        keys = keys[0].flatten(1, 2).unflatten(2, (self.dim_u, self.dim_k)) if self.content else None
        return queries, keys, values

    def _position_term(self, queries: Tensor, values: Tensor) -> Tensor:
        embedding = contraction.crop(self.embedding, queries.shape[1:3]).to(queries.dtype)
        return contraction.position_term(
            queries, values.to(queries.dtype), embedding, self.contraction, self.tile_bytes
        )

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != self.dim:
            raise UserError(f"expected pictures of shape (b, {self.dim}, H, W), got {tuple(x.shape)}")
        if self.size is not None and tuple(x.shape[2:]) != tuple(self.size):
            raise UserError(
                f"this layer's global context was made for pictures of {self.size[0]}×{self.size[1]}, "
                f"got {x.shape[2]}×{x.shape[3]}; make it with size={tuple(x.shape[2:])}, or with a local scope"
            )

    def extra_repr(self) -> str:
        """Say the layer's shape in the paper's letters."""
        where = f"scope={self.scope}" if self.size is None else f"size={self.size}"
        return f"{self.dim}, {self.dim_out}, k={self.dim_k}, h={self.heads}, u={self.dim_u}, v={self.dim_v}, {where}"


def check_shape(*, heads: int, dim_out: int, scope: int | None, size: tuple[int, int] | None, **positive: int) -> None:
    """Refuse a layer's shape that cannot be built.

    Raises:
        UserError: naming the number, what is allowed, and what to do.
    """
    for name, value in {**positive, "heads": heads, "dim_out": dim_out}.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    if size is not None and min(size) < 1:
        raise UserError(f"size must be a height and a width of at least 1, got {tuple(size)}")
    if dim_out % heads:
        raise UserError(f"heads must divide dim_out (v = dim_out/h): {dim_out} is not a multiple of {heads}")
    if (scope is None) == (size is None):
        raise UserError(
            "give either scope (an odd window) or scope=None with size=(H, W) (the global context); "
            f"got scope={scope}, size={size}"
        )
    if scope is not None and (scope < 1 or scope % 2 == 0):
        raise UserError(f"scope must be odd and at least 1, so that the window has a centre; got {scope}")


def _channels_last(gradient: Tensor | None) -> Tensor | None:
    """The gradient of (b, H, W, channels) in this order in memory, whatever the order of what follows the layer."""
    return gradient if gradient is None else gradient.contiguous()
