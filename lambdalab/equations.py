"""The paper's equations as pure functions: the reference that every faster order of the same sums is tested against.

Source: Irwan Bello, "LambdaNetworks: Modeling Long-Range Interactions Without Attention", ICLR 2021, arXiv 2102.08602.

Letters are the paper's: ``b`` batch, ``n`` queries, ``m`` context positions, ``k`` query/key depth, ``v`` value depth,
``u`` intra-depth, ``h`` heads.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.errors import UserError


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
    offset = position.unsqueeze(0) - position.unsqueeze(1)
    inside, index = torch.ones_like(offset[..., 0], dtype=torch.bool), torch.zeros_like(offset[..., 0])
    for axis, length in enumerate(table.shape[2:]):
        entry = offset[..., axis] + length // 2
        inside &= (entry >= 0) & (entry < length)
        index = index * length + entry
    # One more column, of zeros, stands for everything outside the table.
    padded = F.pad(table.flatten(2), (0, 1))
    index = index.masked_fill(~inside, padded.shape[2] - 1)
    pairs = padded.index_select(2, index.flatten()).unflatten(2, index.shape)
    return pairs.permute(2, 3, 1, 0)
