"""Independent oracles: the papers' sums as explicit loops over pixels, in the dtype given.

Nothing here imports lambdalab. A layer passed in is read for its numbers alone (weights, statistics, depths)
and never called, and torch's einsum, softmax, convolution and batch norm are not used: an oracle shares no
code with what it judges. Batches, heads and depths are vectors, n, m and u loops; autograd goes through all.
"""

import math
from itertools import product

import torch
from torch import Tensor, nn

# The tensors here are tiny: a second thread would only wait for the first, many times over on a busy machine.
torch.set_num_threads(1)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return the largest deviation as a share of the largest expected number."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def picture(*shape: int, seed: int = 1) -> Tensor:
    """Random pictures (b, c, H, W), or any other random tensor."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomise(module: nn.Module, seed: int) -> nn.Module:
    """Give every weight and every batch norm's statistics a random value, so that nothing is neutral."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            draw = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            if tensor.dim() == 1:
                draw = 0.5 + draw.abs() if name.endswith(("weight", "running_var")) else draw
            elif name.endswith("weight"):
                draw = draw / math.sqrt(tensor[0].numel())
            tensor.data.copy_(draw)
    return module


def positions(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All positions of a picture or a sequence, row by row."""
    return list(product(*(range(length) for length in size)))


def embedding_of(table: Tensor, n: tuple[int, ...], m: tuple[int, ...]) -> Tensor | None:
    """The (k, u) entry of a table (k, u, r…) for the offset m − n, or ``None`` outside the scope."""
    entry = table
    for here, there, length in zip(n, m, table.shape[2:], strict=True):
        index = there - here + (length - 1) // 2
        if not 0 <= index < length:
            return None
        entry = entry[:, :, index]
    return entry


def content_lambda(keys: Tensor, values: Tensor, seen: Tensor | None = None) -> Tensor:
    """λc of keys (b, m, u, k) and values (b, m, u, v): (b, k, v); with seen (n, m), one for each query."""
    if seen is not None:
        chosen = [row.nonzero()[:, 0] for row in seen]
        return torch.stack([content_lambda(keys[:, m], values[:, m]) for m in chosen], dim=1)
    weights = keys.exp() / sum(keys[:, m].exp() for m in range(keys.shape[1])).unsqueeze(1)
    terms = [
        weights[:, m, u, :, None] * values[:, m, u, None, :]
        for m, u in product(range(keys.shape[1]), range(keys.shape[2]))
    ]
    return sum(terms)


def position_lambda(embeddings: Tensor, values: Tensor, seen: Tensor | None = None) -> Tensor:
    """λp of embeddings (n, m, u, k) and values (b, m, u, v): (b, n, k, v)."""
    count, context, depth, k = embeddings.shape
    rows = []
    for n in range(count):
        total = values.new_zeros(values.shape[0], k, values.shape[3])
        for m, u in product(range(context), range(depth)):
            if seen is None or seen[n, m]:
                total = total + embeddings[n, m, u, :, None] * values[:, m, u, None, :]
        rows.append(total)
    return torch.stack(rows, dim=1)


def project(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A 1×1 convolution without bias."""
    weight = convolution.weight[:, :, 0, 0]
    rows = [sum(w * x[:, c] for c, w in enumerate(row)) for row in weight]
    return torch.stack(rows, dim=1)


def normalise(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch norm: with the batch's own mean and variance in training, with the running ones in evaluation."""
    channels = []
    for c in range(x.shape[1]):
        mean, variance = norm.running_mean[c], norm.running_var[c]
        if norm.training:
            mean = x[:, c].sum() / x[:, c].numel()
            variance = ((x[:, c] - mean) ** 2).sum() / x[:, c].numel()
        channels.append((x[:, c] - mean) / torch.sqrt(variance + norm.eps) * norm.weight[c] + norm.bias[c])
    return torch.stack(channels, dim=1)


def soften(keys: Tensor) -> Tensor:
    """Softmax of (b, c, H, W) over the pixels."""
    return keys.exp() / keys.exp().sum(dim=(2, 3), keepdim=True)


def lambda_layer(x: Tensor, layer: nn.Module) -> Tensor:
    """The paper's layer, a head: y_n = Σ_u Σ_m (K̄_mu·q_n) V_mu + Σ_u Σ_{m in scope} (E_{m−n,u}·q_n) V_mu."""
    b, _, height, width = x.shape
    h, k, v = layer.heads, layer.dim_k, layer.dim_out // layer.heads
    queries = normalise(project(x, layer.to_q), layer.norm_q).reshape(b, h, k, height, width)
    values = normalise(project(x, layer.to_v), layer.norm_v)
    weights = None if layer.to_k is None else soften(project(x, layer.to_k))
    pixels, rows = positions((height, width)), []
    for n in pixels:
        q, y = queries[:, :, :, n[0], n[1]], x.new_zeros(b, h, v)
        for m, u in product(pixels, range(layer.dim_u)):
            value = values[:, u * v : (u + 1) * v, m[0], m[1]].unsqueeze(1)  # (b, 1, v)
            if weights is not None:
                key = weights[:, u * k : (u + 1) * k, m[0], m[1]].unsqueeze(1)
                y = y + (q * key).sum(dim=2, keepdim=True) * value
            entry = None if layer.embedding is None else embedding_of(layer.embedding, n, m)
            if entry is not None:
                y = y + (q * entry[:, u]).sum(dim=2, keepdim=True) * value
        rows.append(y.reshape(b, h * v))
    return torch.stack(rows, dim=2).reshape(b, h * v, height, width)


def self_attention(x: Tensor, layer: nn.Module) -> Tensor:
    """y_n = Σ_{m in scope} a_nm v_m with a_nm ∝ exp(q_n·k_m/√k + q_n·E_{m−n}); heads have their own k, v."""
    b, _, height, width = x.shape
    h, k, v = layer.heads, layer.dim_k, layer.dim_out // layer.heads
    queries = project(x, layer.to_q).reshape(b, h, k, height, width)
    keys = project(x, layer.to_k).reshape(b, h, k, height, width)
    values = project(x, layer.to_v).reshape(b, h, v, height, width)
    pixels, rows = positions((height, width)), []
    for n in pixels:
        q, above, below = queries[:, :, :, n[0], n[1]], 0, 0
        for m in pixels:
            entry = embedding_of(layer.embedding, n, m)
            if entry is not None:
                logit = (q * (keys[:, :, :, m[0], m[1]] / math.sqrt(k) + entry[:, 0])).sum(dim=2, keepdim=True)
                above = above + logit.exp() * values[:, :, :, m[0], m[1]]
                below = below + logit.exp()
        rows.append((above / below).reshape(b, h * v))
    return torch.stack(rows, dim=2).reshape(b, h * v, height, width)


def original_layer(x: Tensor, layer: nn.Module) -> Tensor:
    """The community code's layer: content reads channel v·U + u, position u·V + v; keys are batch-normed."""
    b, _, height, width = x.shape
    h, k, v, depth = layer.heads, layer.dim_k, layer.dim_v, layer.dim_u
    queries = normalise(project(x, layer.queries[0]), layer.queries[1]).reshape(b, h, k, height, width)
    weights = soften(normalise(project(x, layer.keys[0]), layer.keys[1]))
    values = project(x, layer.values)
    local, pixels, rows = layer.embedding.dim() == 4, positions((height, width)), []
    for n in pixels:
        q, y = queries[:, :, :, n[0], n[1]], x.new_zeros(b, h, v)
        for m, u in product(pixels, range(depth)):
            by_content = torch.stack([values[:, i * depth + u, m[0], m[1]] for i in range(v)], dim=1).unsqueeze(1)
            by_position = torch.stack([values[:, u * v + i, m[0], m[1]] for i in range(v)], dim=1).unsqueeze(1)
            key = torch.stack([weights[:, i * depth + u, m[0], m[1]] for i in range(k)], dim=1).unsqueeze(1)
            y = y + (q * key).sum(dim=2, keepdim=True) * by_content
            if local:
                entry = embedding_of(layer.embedding, n, m)
                if entry is not None:
                    y = y + (q * entry[:, u]).sum(dim=2, keepdim=True) * by_position
            elif m == n:  # its "global" embedding weighs the query's own pixel and no other
                y = y + (q * layer.embedding[:, u]).sum(dim=2, keepdim=True) * by_content
        rows.append(y.reshape(b, h * v))
    return torch.stack(rows, dim=2).reshape(b, h * v, height, width)
