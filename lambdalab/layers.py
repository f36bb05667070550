"""The lambda layer: long-range interactions without attention.

Source: Irwan Bello, "LambdaNetworks: Modeling Long-Range Interactions Without Attention", ICLR 2021, arXiv 2102.08602.

Letters are the paper's, as in ``equations``, whose functions ``LambdaLayer`` applies to a picture.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.equations import apply_lambda, content_lambda, position_lambda, relative_embeddings
from lambdalab.errors import UserError

# Up to this many pixels a sum over all n·m pairs, one matrix product, is cheaper than a convolution whose window
# would mostly cover padding.
DENSE_PIXELS = 14 * 14


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

    Raises:
        UserError: if a number is not positive, heads do not divide dim_out, scope is even, size is missing or not
            wanted, or neither lambda is left.
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
    ):
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_shape(dim=dim, dim_out=dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, scope=scope, size=size)
        if not (content or position):
            raise UserError("a lambda layer needs content=True or position=True, or both")
        self.dim, self.dim_out, self.dim_k, self.heads, self.dim_u = dim, dim_out, dim_k, heads, dim_u
        self.dim_v = dim_out // heads
        self.scope, self.size, self.content, self.position = scope, size, content, position

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
        queries, content, position = self.lambdas(x)
        parts = [apply_lambda(queries, each) for each in (content, position) if each is not None]
        y = sum(parts[1:], parts[0])  # (b, h, n, v)
        return y.transpose(2, 3).reshape(x.shape[0], self.dim_out, *x.shape[2:])

    def lambdas(self, x: Tensor) -> Lambdas:
        """Return the queries and both lambdas for x, (b, dim, H, W); a lambda that is switched off is ``None``.

        Raises:
            UserError: if x has other channels than ``dim``, or another size than the global context's.
        """
        queries, keys, values = self.project(x)
        content = content_lambda(keys, values) if self.content else None
        position = self._position_lambda(values, x.shape[2:]) if self.position else None
        return Lambdas(queries, content, position)

    def project(self, x: Tensor) -> Projections:
        """Return queries, keys and values of x, (b, dim, H, W).

        Raises:
            UserError: if x has other channels than ``dim``, or another size than the global context's.
        """
        self._check_input(x)
        b, keys = x.shape[0], None
        queries = self.norm_q(self.to_q(x)).reshape(b, self.heads, self.dim_k, -1).transpose(2, 3)
        if self.content:
            keys = self.to_k(x).reshape(b, self.dim_u, self.dim_k, -1).permute(0, 3, 1, 2)
        values = self.norm_v(self.to_v(x)).reshape(b, self.dim_u, self.dim_v, -1).permute(0, 3, 1, 2)
        return Projections(queries, keys, values)

    def _position_lambda(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        """λp, (b, n, k, v), of values (b, m, u, v): as one sum over all pairs, or as a convolution on large maps."""
        if self.size is not None or size[0] * size[1] <= DENSE_PIXELS:
            return position_lambda(relative_embeddings(self.embedding, size), values)
        # A map of length s has offsets −(s−1) … s−1 only: what of the window lies beyond can never be used.
        beyond = [max(0, self.scope // 2 - (length - 1)) for length in size]
        window = self.embedding[:, :, beyond[0] : self.scope - beyond[0], beyond[1] : self.scope - beyond[1]]
        padding = (window.shape[2] // 2, window.shape[3] // 2)
        b = values.shape[0]
        maps = values.permute(0, 3, 2, 1).reshape(b * self.dim_v, self.dim_u, *size)
        position = F.conv2d(maps, window, padding=padding)  # (b·v, k, H, W)
        return position.reshape(b, self.dim_v, self.dim_k, -1).permute(0, 3, 2, 1)

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
