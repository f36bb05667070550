"""What learners write: right answers in several styles, with plain torch and never with the checks' own functions.

The functions take options, which make the mistakes of ``wrong_answers``.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def weighted(keys, values, axis, rule="bmk,bmv->bkv"):
    return torch.einsum(rule, keys.softmax(axis), values)


def content_by_loops(keys, values):
    (b, m, k), v = keys.shape, values.shape[2]
    made = torch.zeros(b, k, v)  # float32
    for i in range(b):
        powers = keys[i].exp()
        for j in range(m):
            made[i] += torch.outer(powers[j] / powers.sum(0), values[i, j])
    return made


def ask(queries, lambdas, heads, read="hk", write="hv", axis="bn"):
    b, n, _ = queries.shape
    q = queries.reshape(b, n, heads, -1) if read == "hk" else queries.reshape(b, n, -1, heads).transpose(2, 3)
    y = torch.einsum("bnhk,bkv->bnhv", q, lambdas)
    if axis == "bh":
        return y.transpose(1, 2).reshape(b, n, -1)
    return (y if write == "hv" else y.transpose(2, 3)).reshape(b, n, -1)


def sequence(table, values, sign=1, start=None, wrap=False):
    (k, r), (length, v) = table.shape, values.shape
    start = r // 2 if start is None else start
    made = torch.zeros(length, k, v).double()
    for n in range(length):
        for entry in range(r):
            m = n + sign * (entry - start)
            if wrap or 0 <= m < length:
                made[n] += torch.outer(table[:, entry], values[m % length])
    return made


def convolution(table, values, size, padding=None, maps=None):
    b, _, u, v = values.shape
    maps = values.permute(0, 3, 2, 1).reshape(b * v, u, *size) if maps is None else maps
    made = F.conv2d(maps, table, padding=table.shape[-1] // 2 if padding is None else padding)
    return made.reshape(b, v, table.shape[0], -1).permute(0, 3, 2, 1)


def wrapped(table, values, size):
    b, _, u, v = values.shape
    maps = values.permute(0, 3, 2, 1).reshape(b * v, u, *size)
    return convolution(table, values, size, 0, F.pad(maps, (table.shape[-1] // 2,) * 4, mode="circular"))


def past(table, values, left=None, right=0):
    left = table.shape[1] - 1 if left is None else left
    return F.conv1d(F.pad(values.T[:, None], (left, right)), table[:, None]).permute(2, 1, 0)[: len(values)]


def layer(keys, value_maps, table, content_first="u", position_first="u", softmax=True):
    b, _, height, width = value_maps.shape
    u, k = keys.shape[2:]

    def read(first):  # (b, u, v, m)
        return (
            value_maps.reshape(b, u, -1, height * width)
            if first == "u"
            else value_maps.reshape(b, -1, u, height * width).transpose(1, 2)
        )

    weights = keys.softmax(1) if softmax else keys
    content = torch.einsum("bmuk,buvm->bkv", weights, read(content_first))
    maps = read(position_first).transpose(1, 2).flatten(0, 1).reshape(-1, u, height, width)
    position = F.conv2d(maps, table, padding=table.shape[-1] // 2).reshape(b, -1, k, height * width)
    return content[:, None] + position.permute(0, 3, 2, 1)


def places(channel, u, v):
    return (channel % u, channel // u), (channel // v, channel % v)


def predict(stages, counts, sign=1, marked="L"):
    alone = ["LCCC", "CLCC", "CCLC", "CCCL"]
    return counts["CCCC"] + sign * sum(
        counts[alone[i]] - counts["CCCC"] for i, kind in enumerate(stages) if kind == marked
    )


def best(bills, budget, column=1, choose=min, strict=False):
    fitting = {s: bill for s, bill in bills.items() if (bill[0] < budget if strict else bill[0] <= budget)}
    return choose(fitting, key=lambda stages: fitting[stages][column])


def each_norm(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def blocks(network):
    return [block for stage in network.stages for block in stage]


def pixels(k, v, h, r2, heads=1, applied=True, more=1):
    """The first whole n with fewer multiply-adds for the lambda convolution, by trying."""
    n = 1
    while n * k * v * heads * (r2 + 1 + (h // heads if applied else 0)) >= n * n * h * (k + v):
        n += 1
    return n + more - 1


def pictures(n, k, v, h):
    b = 1
    while n * n * k + b * (n + 1) * k * v >= b * h * n * n:
        b += 1
    return b


def compared(given, u=2, v=3, exactly=False):
    keys, maps, table = torch.randn(1, 4, u, 2), torch.randn(1, u * v, 2, 2), torch.randn(2, u, 3, 3)
    made, right = given(keys, maps, table), layer(keys, maps, table)
    return torch.equal(made, right) if exactly else torch.allclose(made, right, atol=1e-4)


RIGHT = {
    "check_content_lambda": {
        "einsum": lambda keys, values: weighted(keys, values, 1),
        "matmul": lambda keys, values: keys.softmax(1).transpose(1, 2) @ values,
        "loops in float32": content_by_loops,
        "in float32": lambda keys, values: weighted(keys.float(), values.float(), 1),
        "a numpy array": lambda keys, values: weighted(keys, values, 1).numpy(),
        "nested lists": lambda keys, values: weighted(keys, values, 1).tolist(),
        "float32 on the way": lambda keys, values: weighted(keys.float(), values.float(), 1).double(),
        "with a gradient": lambda keys, values: weighted(keys.requires_grad_(), values, 1),
    },
    "check_content_copies": {
        "einsum": lambda keys, values: weighted(keys, values, 1, "bmuk,bmuv->bkv"),
        "copy by copy": lambda keys, values: sum(
            weighted(keys[:, :, u], values[:, :, u], 1) for u in range(keys.shape[2])
        ),
    },
    "check_heads": {
        "einsum": ask,
        "head by head": lambda queries, lambdas, heads: torch.cat(
            [each @ lambdas for each in queries.chunk(heads, dim=2)], dim=2
        ),
    },
    "check_sequence": {"loops": sequence},
    "check_convolution": {"conv2d": convolution},
    "check_past": {"conv1d": past, "loops": lambda table, values: sequence(table, values, start=table.shape[1] - 1)},
    "check_places": {
        "arithmetic": places,
        "lists": lambda c, u, v: [list(each) for each in places(c, u, v)],
        "tensors": lambda c, u, v: tuple(tuple(torch.tensor(each)) for each in places(c, u, v)),
    },
    "check_repair": {"one reading": layer},
    "check_attention_macs": {"formula": lambda b, n, m, k, v, h: b * h * n * m * (k + v)},
    "check_lambda_macs": {
        "formula": lambda b, n, m, k, v, h: b * k * v * (m + n * m + h * n),
        "a numpy number": lambda b, n, m, k, v, h: np.int64(b * k * v) * (m + n * m + h * n),
    },
    "check_crossover": {"by trying": lambda k, v, h, r: pixels(k, v, h, r * r)},
    "check_batch_crossover": {"by trying": pictures},
    "check_total": {"differences": predict},
    "check_cheapest": {"min": best},
    "check_hybrid": {},
    "check_last_norms": {"a loop": lambda network: [block.residual[-1] for block in blocks(network)]},
    "check_rescue": {
        "γ = 0": lambda network: [nn.init.zeros_(block.residual[-1].weight) for block in blocks(network)] and None,
        "γ = 0.1": lambda network: [nn.init.constant_(b.residual[-1].weight, 0.1) for b in blocks(network)] and None,
    },
}
