"""Softmax self-attention on pictures: the layer that the lambda layer replaces, kept to compare with."""

import torch
from torch import Tensor, nn

from lambdalab.equations import relative_embeddings
from lambdalab.errors import UserError
from lambdalab.layers import check_shape


class SelfAttention2d(nn.Module):
    """Multi-head self-attention with relative positions, (b, dim, H, W) → (b, dim_out, H, W).

    a_nm = softmax over m of (q_n·k_m/√k + q_n·E_{m−n}), y_n = Σ_m a_nm v_m, for each head. Unlike a lambda layer it
    forms the map a, n×m numbers for every head and picture, which is what makes it costly (paper, table 2).
    Relative positions after Shaw et al. 2018 (arXiv 1803.02155), in two dimensions, shared by the heads.

    Args:
        dim: channels in.
        dim_out: channels out; ``dim`` if not given.
        dim_k: depth k of each head's queries and keys.
        heads: number of heads, each with its own keys and values of depth dim_out/heads.
        scope: odd width of the window that a query sees, or ``None`` for the global context.
        size: (H, W) of the pictures; needed for the global context only.

    Raises:
        UserError: as for ``LambdaLayer``.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        *,
        dim_k: int = 16,
        heads: int = 4,
        scope: int | None = None,
        size: tuple[int, int] | None = None,
    ):
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_shape(dim=dim, dim_out=dim_out, dim_k=dim_k, heads=heads, scope=scope, size=size)
        self.dim, self.dim_out, self.dim_k, self.heads = dim, dim_out, dim_k, heads
        self.scope, self.size = scope, size
        self.to_q = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_k = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_v = nn.Conv2d(dim, dim_out, 1, bias=False)
        window = (scope, scope) if size is None else (2 * size[0] - 1, 2 * size[1] - 1)
        self.embedding = nn.Parameter(torch.empty(dim_k, 1, *window))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights with variance 1/fan-in, the embeddings with variance 1/k."""
        for projection in (self.to_q, self.to_k, self.to_v):
            nn.init.normal_(projection.weight, std=self.dim**-0.5)
        nn.init.normal_(self.embedding, std=self.dim_k**-0.5)

    def attention(self, x: Tensor) -> Tensor:
        """Return the attention maps a of x, (b, h, n, m); each row sums to 1.

        Raises:
            UserError: if x has other channels than ``dim``, or another size than the global context's.
        """
        b, size = x.shape[0], tuple(x.shape[2:])
        if x.dim() != 4 or x.shape[1] != self.dim or (self.size is not None and size != tuple(self.size)):
            height, width = self.size or ("H", "W")
            raise UserError(f"expected pictures of shape (b, {self.dim}, {height}, {width}), got {tuple(x.shape)}")
        queries = self.to_q(x).reshape(b, self.heads, self.dim_k, -1)
        keys = self.to_k(x).reshape(b, self.heads, self.dim_k, -1)
        embeddings = relative_embeddings(self.embedding, size).squeeze(2)  # (n, m, k)
        logits = torch.einsum("bhkn,bhkm->bhnm", queries, keys) * self.dim_k**-0.5
        logits = logits + torch.einsum("bhkn,nmk->bhnm", queries, embeddings)
        if self.size is None:
            inside = relative_embeddings(torch.ones_like(self.embedding[:1]), size).squeeze() > 0  # (n, m)
            logits = logits.masked_fill(~inside.reshape(logits.shape[2:]), float("-inf"))
        return logits.softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.attention(x)
        values = self.to_v(x).reshape(x.shape[0], self.heads, self.dim_out // self.heads, -1)
        y = torch.einsum("bhnm,bhvm->bhvn", a, values)
        return y.reshape(x.shape[0], self.dim_out, *x.shape[2:])
