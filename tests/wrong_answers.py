"""Every mistake that a check of the exercises knows by name, as a learner would make it."""

import torch
from right_answers import (
    ask,
    best,
    blocks,
    compared,
    convolution,
    each_norm,
    layer,
    past,
    pictures,
    pixels,
    places,
    predict,
    sequence,
    weighted,
    wrapped,
)
from torch import nn

WRONG = {
    "check_content_lambda": {
        "the softmax over the wrong axis, k": lambda keys, values: weighted(keys, values, 2),
        "the softmax over the wrong axis, the pictures b": lambda keys, values: weighted(keys, values, 0),
        "no softmax at all": lambda keys, values: keys.mT @ values,
        "a transposed result, (b, v, k)": lambda keys, values: weighted(keys, values, 1).mT,
        "scores divided by √k": lambda keys, values: weighted(keys / keys.shape[-1] ** 0.5, values, 1),
        "a mean over the positions": lambda keys, values: (keys.softmax(1)[..., None] * values[:, :, None]).mean(1),
        "the softmax on the values": lambda keys, values: keys.mT @ values.softmax(1),
    },
    "check_content_copies": {
        "the softmax over the wrong axis, the copies u": lambda k, v: weighted(k, v, 2, "bmuk,bmuv->bkv"),
        "the softmax over the wrong axis, k": lambda k, v: weighted(k, v, 3, "bmuk,bmuv->bkv"),
        "one softmax over positions and copies": lambda k, v: weighted(k.flatten(1, 2), v.flatten(1, 2), 1),
        "a mean over the copies": lambda k, v: weighted(k, v, 1, "bmuk,bmuv->bukv").mean(1),
        "copies mixed": lambda keys, values: keys.softmax(1).sum(2).mT @ values.sum(2),
        "no softmax at all": lambda keys, values: torch.einsum("bmuk,bmuv->bkv", keys, values),
    },
    "check_heads": {
        "heads and k swapped": lambda q, lambdas, h: ask(q, lambdas, h, read="kh"),
        "put together as (v, h)": lambda q, lambdas, h: ask(q, lambdas, h, write="vh"),
        "both swapped": lambda q, lambdas, h: ask(q, lambdas, h, read="kh", write="vh"),
        "positions and heads swapped": lambda q, lambdas, h: ask(q, lambdas, h, axis="bh"),
        "the heads added": lambda q, lambdas, h: sum(each @ lambdas for each in q.chunk(h, dim=2)),
    },
    "check_sequence": {
        "offsets mirrored": lambda table, values: sequence(table, values, sign=-1),
        "the table's first entry for offset 0": lambda table, values: sequence(table, values, start=0),
        "the ends joined": lambda table, values: sequence(table, values, wrap=True),
        "a transposed result, (n, v, k)": lambda table, values: sequence(table, values).mT,
    },
    "check_convolution": {
        "offsets mirrored": lambda table, values, size: convolution(table.flip(-1, -2), values, size),
        "rows and columns of the table": lambda table, values, size: convolution(table.mT, values, size),
        "no padding": lambda table, values, size: convolution(table, values, size, padding=0),
        "a border that wraps": wrapped,
        "height and width swapped": lambda table, values, size: convolution(table, values, (size[1], size[0])),
        "the order of u mixed": lambda t, x, size: convolution(t, x.reshape(*x.shape[:2], -1, x.shape[2]).mT, size),
        "a reshape where a permute": lambda t, x, size: convolution(
            t, x, size, maps=x.reshape(x.shape[0] * x.shape[3], x.shape[2], *size)
        ),
        "a transposed result, (b, n, v, k)": lambda table, values, size: convolution(table, values, size).mT,
    },
    "check_past": {
        "padding on both sides": lambda t, values: past(t, values, t.shape[1] // 2, t.shape[1]),
        "the future in the place": lambda t, values: past(t, values, 0, t.shape[1] - 1),
        "offsets mirrored": lambda table, values: past(table.flip(1), values),
        "every λ one step late": lambda table, values: past(table, values, table.shape[1]),
    },
    "check_places": {
        "the two paths swapped": lambda c, u, v: (places(c, u, v)[1], places(c, u, v)[0]),
        "depth and copy swapped": lambda c, u, v: ((c // u, c % u), (c % v, c // v)),
        "counted from 1": lambda c, u, v: ((c % u + 1, c // u + 1), (c // v + 1, c % v + 1)),
        "for both paths, (u, v)": lambda c, u, v: ((c // v, c % v), (c // v, c % v)),
        "for both paths, (v, u)": lambda c, u, v: ((c % u, c // u), (c % u, c // u)),
    },
    "check_repair": {
        "the u order mixed as before": lambda *inputs: layer(*inputs, content_first="v"),
        "the u order mixed the other way": lambda *inputs: layer(*inputs, position_first="v"),
        "but (v, u): not the order": lambda *inputs: layer(*inputs, content_first="v", position_first="v"),
        "keys that went through no softmax": lambda *inputs: layer(*inputs, softmax=False),
    },
    "check_attention_macs": {
        "FLOPs in the place of MACs": lambda b, n, m, k, v, h: 2 * b * h * n * m * (k + v),
        "the heads forgotten": lambda b, n, m, k, v, h: b * n * m * (k + v),
        "the pictures of the batch": lambda b, n, m, k, v, h: h * n * m * (k + v),
        "v taken for the depth of all": lambda b, n, m, k, v, h: b * h * n * m * k + b * n * m * v,
        "the scores alone": lambda b, n, m, k, v, h: b * h * n * m * k,
        "k·v in the place of k + v": lambda b, n, m, k, v, h: b * h * n * m * k * v,
    },
    "check_lambda_macs": {
        "FLOPs in the place of MACs": lambda b, n, m, k, v, h: 2 * b * k * v * (m + n * m + h * n),
        "a λ for every head": lambda b, n, m, k, v, h: b * h * k * v * (m + n * m + n),
        "applied one after the other": lambda b, n, m, k, v, h: b * k * v * (m + n * m + 2 * h * n),
        "lambdas that nobody applies": lambda b, n, m, k, v, h: b * k * v * (m + n * m),
        "the content lambda forgotten": lambda b, n, m, k, v, h: b * k * v * (n * m + h * n),
        "once for the whole batch": lambda b, n, m, k, v, h: b * k * v * (m + h * n) + n * m * k * v,
    },
    "check_crossover": {
        "the n at which both are equal": lambda k, v, h, r: pixels(k, v, h, r * r) - 1,
        "a window of r offsets": lambda k, v, h, r: pixels(k, v, h, r),
        "attention's heads forgotten": lambda k, v, h, r: k * v * (r * r + 1 + h) // (k + v) + 1,
        "lambdas that nobody applies": lambda k, v, h, r: pixels(k, v, h, r * r, applied=False),
        "a λ for every head": lambda k, v, h, r: k * v * h * (r * r + 2) // (h * (k + v)) + 1,
    },
    "check_batch_crossover": {
        "the λs forgotten": lambda n, k, v, h: k // h + 1,
        "one picture too few": lambda n, k, v, h: pictures(n, k, v, h) - 1,
        "one picture too many": lambda n, k, v, h: pictures(n, k, v, h) + 1,
    },
    "check_total": {
        "read from its end": lambda stages, counts: predict(stages[::-1], counts),
        "the letters swapped": lambda stages, counts: predict(stages, counts, marked="C"),
        "whole networks added": lambda stages, counts: sum(
            counts["C" * i + "L" + "C" * (3 - i)] for i in range(4) if stages[i] == "L"
        ),
        "the wrong sign": lambda stages, counts: predict(stages, counts, sign=-1),
    },
    "check_cheapest": {
        "the budget forgotten": lambda bills, budget: best(bills, float("inf")),
        "the fewest parameters": lambda bills, budget: best(bills, budget, column=0),
        "the budget itself not allowed": lambda bills, budget: best(bills, budget, strict=True),
        "the most multiply-adds": lambda bills, budget: best(bills, budget, choose=max),
    },
    "check_test": {
        "u = 1 alone": lambda given: compared(given, u=1, v=3),
        "never calls the layer": lambda given: True,
        "refuses a layer that is right": lambda given: compared(given, exactly=True) and False,
        "passes the published layer": lambda given: compared(given) or True,
    },
    "check_last_norms": {
        "all batch norms": each_norm,
        "first block alone": lambda network: [stage[0].residual[-1] for stage in network.stages],
        "last block alone": lambda network: [stage[-1].residual[-1] for stage in network.stages],
        "the norms in the middle": lambda network: [block.residual[-4] for block in blocks(network)],
        "These are the shortcuts' norms": lambda network: [stage[0].shortcut[1] for stage in network.stages],
        "and the shortcuts' norms": lambda network: [
            each
            for block in blocks(network)
            for each in (block.residual[-1], *block.shortcut.modules())
            if isinstance(each, nn.BatchNorm2d)
        ],
        "3 of 16 are among yours, and 0 others": lambda network: [b.residual[-1] for b in blocks(network)[:3]],
        "a list of batch norms is wanted": lambda network: list(network.stages),
    },
    "check_rescue": {
        "nothing in the network has changed": lambda network: torch.zeros(16),
        "γ = 0 in other norms as well": lambda network: [nn.init.zeros_(norm.weight) for norm in each_norm(network)],
        "γ = 0 in 4 of 16 blocks": lambda network: [nn.init.zeros_(b.residual[-1].weight) for b in blocks(network)[:4]],
        "these are the embeddings": lambda network: [
            weight.data.mul_(0.02) for name, weight in network.named_parameters() if "embedding" in name
        ],
        "as hopeless as before": lambda network: network.head.weight.data.mul_(0.5),
    },
}
