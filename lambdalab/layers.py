"""The lambda layer: long-range interactions without attention.

Source: Irwan Bello, "LambdaNetworks: Modeling Long-Range Interactions Without Attention", ICLR 2021, arXiv 2102.08602.

Letters are the paper's: ``b`` batch, ``n`` queries, ``m`` context positions, ``k`` query/key depth, ``v`` value depth,
``u`` intra-depth, ``h`` heads. The functions are the paper's equations and the reference for every faster order of the
same sums; ``LambdaLayer`` applies them to a picture.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lambdalab.errors import UserError

# Up to this many pixels a sum over all n·m pairs, one matrix product, is cheaper than a convolution whose window
# would mostly cover padding.
DENSE_PIXELS = 14 * 14


def content_lambda(keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Summarise the context by content: λc = Σ_m K̄_m V_mᵀ, with K̄ = softmax of K over the context (sec. 3.1).

    With a mask (the appendix' masked contexts) each query n has its own λc_n, whose softmax and sum run over the
    context positions it may see.

    Args:
        keys: K before its softmax, (b, m, k), or (b, m, u, k) with intra-depth.
        values: V, (b, m, v), or (b, m, u, v).
        mask: (n, m) booleans, true where query n sees position m; ``None``: everything is seen.

    Returns:
        (b, k, v), or (b, n, k, v) with a mask.

    Raises:
        UserError: if a query sees no position at all.
    """
    if mask is None:
        return torch.einsum("bm...k,bm...v->bkv", keys.softmax(dim=1), values)
    if not mask.any(dim=1).all():
        raise UserError(f"query {int((~mask.any(dim=1)).nonzero()[0])} sees no context; give every row of mask a true")
    hidden = ~mask.reshape(1, *mask.shape, *(1,) * (keys.dim() - 2))
    weights = keys.unsqueeze(1).masked_fill(hidden, float("-inf")).softmax(dim=2)
    return torch.einsum("bnm...k,bm...v->bnkv", weights, values)


def position_lambda(embeddings: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Summarise the context by position: λp_n = Σ_m E_nm V_mᵀ (sec. 3.1).

    Args:
        embeddings: E, (n, m, k), or (n, m, u, k) with intra-depth. They depend on positions alone, never on the
            pictures, so one set serves the whole batch.
        values: V, (b, m, v), or (b, m, u, v).
        mask: (n, m) booleans as in ``content_lambda``.

    Returns:
        (b, n, k, v): one λ for every query position.
    """
    if mask is not None:
        embeddings = embeddings * mask.reshape(*mask.shape, *(1,) * (embeddings.dim() - 2))
    return torch.einsum("nm...k,bm...v->bnkv", embeddings, values)


def apply_lambda(queries: Tensor, lambdas: Tensor) -> Tensor:
    """Apply the linear functions to the queries: y_n = λ_nᵀ q_n, each λ shared by all h heads (sec. 3.2).

    Args:
        queries: (b, h, n, k).
        lambdas: (b, k, v), the same for all n, or (b, n, k, v).

    Returns:
        (b, h, n, v).
    """
    shared = lambdas.dim() == 3
    return torch.einsum("bhnk,bkv->bhnv" if shared else "bhnk,bnkv->bhnv", queries, lambdas)


def relative_embeddings(table: Tensor, size: tuple[int, ...]) -> Tensor:
    """Spread a table of offsets over all pairs of positions: E_nm = table[m − n] (translation equivariance, sec. 3.2).

    Works for pictures (two axes) and sequences (one). Offsets outside the table, those beyond the local scope, get 0.

    Args:
        table: (k, u, r) or (k, u, r_y, r_x), odd r; the middle entry belongs to offset 0.
        size: (length,) or (height, width); n and m count positions row by row.

    Returns:
        (n, m, u, k).
    """
    axes = [torch.arange(length, device=table.device) for length in size]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(size))
    scope = position.new_tensor(table.shape[2:])
    offset = position.unsqueeze(0) - position.unsqueeze(1) + scope // 2
    inside = ((offset >= 0) & (offset < scope)).all(dim=-1)
    index = torch.zeros_like(offset[..., 0])
    for axis, length in enumerate(table.shape[2:]):
        index = index * length + offset[..., axis]
    # One more column, of zeros, stands for everything outside the table.
    padded = F.pad(table.flatten(2), (0, 1))
    index = index.masked_fill(~inside, padded.shape[2] - 1)
    pairs = padded.index_select(2, index.flatten()).unflatten(2, index.shape)
    return pairs.permute(2, 3, 1, 0)


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
        b, height, width = self._check_input(x)
        queries = self.norm_q(self.to_q(x)).reshape(b, self.heads, self.dim_k, -1).transpose(2, 3)
        values = self.norm_v(self.to_v(x)).reshape(b, self.dim_u, self.dim_v, -1)  # (b, u, v, m)
        content = position = None
        if self.content:
            keys = self.to_k(x).reshape(b, self.dim_u, self.dim_k, -1)  # (b, u, k, m)
            content = content_lambda(keys.permute(0, 3, 1, 2), values.permute(0, 3, 1, 2))
        if self.position:
            position = self._position_lambda(values, (height, width))
        return Lambdas(queries, content, position)

    def _position_lambda(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        """λp, (b, n, k, v), of values (b, u, v, m): as one sum over all pairs, or as a convolution on large maps."""
        if self.size is not None or size[0] * size[1] <= DENSE_PIXELS:
            return position_lambda(relative_embeddings(self.embedding, size), values.permute(0, 3, 1, 2))
        # A map of length s has offsets −(s−1) … s−1 only: what of the window lies beyond can never be used.
        beyond = [max(0, self.scope // 2 - (length - 1)) for length in size]
        window = self.embedding[:, :, beyond[0] : self.scope - beyond[0], beyond[1] : self.scope - beyond[1]]
        padding = (window.shape[2] // 2, window.shape[3] // 2)
        b = values.shape[0]
        maps = values.transpose(1, 2).reshape(b * self.dim_v, self.dim_u, *size)
        position = F.conv2d(maps, window, padding=padding)  # (b·v, k, H, W)
        return position.reshape(b, self.dim_v, self.dim_k, -1).permute(0, 3, 2, 1)

    def _check_input(self, x: Tensor) -> tuple[int, int, int]:
        if x.dim() != 4 or x.shape[1] != self.dim:
            raise UserError(f"expected pictures of shape (b, {self.dim}, H, W), got {tuple(x.shape)}")
        if self.size is not None and tuple(x.shape[2:]) != tuple(self.size):
            raise UserError(
                f"this layer's global context was made for pictures of {self.size[0]}×{self.size[1]}, "
                f"got {x.shape[2]}×{x.shape[3]}; make it with size={tuple(x.shape[2:])}, or with a local scope"
            )
        return x.shape[0], x.shape[2], x.shape[3]

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
