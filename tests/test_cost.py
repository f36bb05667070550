"""Closed forms against what modules hold, do and keep; against sums by loop; and against the paper's figures."""

from dataclasses import replace
from itertools import product
from math import prod

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from lambdalab import LambdaLayer, SelfAttention2d, UserError, count_parameters
from lambdalab.cost import (
    COUNTS,
    Cost,
    attention_cost,
    compare_layers,
    convolution_cost,
    lambda_cost,
    model_cost,
    original_lambda_cost,
    pairs,
)
from lambdalab.models import CONFIGS, ModelConfig, ResNet, model_config
from lambdalab.original import OriginalLambdaLayer
from lambdalab.timing import counted_macs, kept_numbers

some, few = settings(max_examples=40, deadline=None), settings(max_examples=15, deadline=None)
# A sum over one position is no product of matrices any more, and no longer seen by the FLOP counter: two and more.
sides = st.tuples(st.integers(2, 9), st.integers(2, 9)) | st.sampled_from([(15, 14), (14, 14), (20, 13)])
batches, depths, heads = st.integers(1, 3), st.integers(2, 5), st.sampled_from([1, 2, 4])


def on_meta(make, *shape):
    with torch.device("meta"):
        return make().train(), torch.empty(*shape)


def in_order(config):
    """The network with λ summed first, in the order whose products the closed form counts."""
    return config if config.block == "original" else replace(config, contraction=first_order(config.scope))


def first_order(scope):
    return "convolve" if scope else "lambda"


def check(make, dim, size, batch, cost):
    module, x = on_meta(make, batch, dim, *size)
    assert cost.parameters == count_parameters(module)
    assert cost.macs == counted_macs(module, x)


def test_costs_add_up():
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
    assert sum([Cost(1, 2, 3)] * 3, Cost()) == Cost(3, 6, 9)


@some
@given(size=sides, batch=batches, kernel=st.sampled_from([1, 3, 7]), stride=st.integers(1, 2), bias=st.booleans())
def test_convolution(size, batch, kernel, stride, bias):
    shape = {"stride": stride, "bias": bias}
    cost = convolution_cost(6, size, 4, kernel=kernel, batch=batch, **shape)
    check(lambda: nn.Conv2d(6, 4, kernel, padding=kernel // 2, **shape), 6, size, batch, cost)
    assert cost.activations == kept_numbers(nn.Conv2d(6, 4, kernel, padding=kernel // 2), torch.randn(batch, 6, *size))


@some
@given(size=sides, batch=batches, dim_k=depths, heads=heads, scope=st.sampled_from([None, 3, 9]))
def test_attention(size, batch, dim_k, heads, scope):
    shape = {"dim_k": dim_k, "heads": heads, "scope": scope}
    cost = attention_cost(6, size, 8, **shape, batch=batch)
    layer = lambda: SelfAttention2d(6, 8, **shape, size=None if scope else size)  # noqa: E731
    check(layer, 6, size, batch, cost)
    if scope is None:
        assert cost.activations == kept_numbers(layer(), torch.randn(batch, 6, *size))


parts = st.sampled_from([(True, True), (True, False), (False, True)])


@some
@given(
    size=sides,
    batch=batches,
    dim_k=depths,
    heads=heads,
    dim_u=st.integers(1, 3),
    scope=st.sampled_from([None, 1, 3, 7, 23]),
    parts=parts,
)
@example(size=(6, 7), batch=1, dim_k=5, heads=4, dim_u=3, scope=23, parts=(True, True))  # E's copy is the largest
def test_lambda_layer(size, batch, dim_k, heads, dim_u, scope, parts):
    shape = {"dim_k": dim_k, "heads": heads, "dim_u": dim_u, "scope": scope}
    shape |= dict(zip(("content", "position"), parts, strict=True))
    cost = lambda_cost(6, size, 8, **shape, batch=batch)
    layer = lambda: LambdaLayer(6, 8, **shape, contraction=first_order(scope), size=None if scope else size)  # noqa: E731
    check(layer, 6, size, batch, cost)
    # PyTorch keeps copies besides, of K̄, V, Q and λ in other orders and of E cropped to the map, and never less.
    kept = kept_numbers(layer(), torch.randn(batch, 6, *size))
    copies = batch * size[0] * size[1] * (dim_u * (dim_k + 2 * 8 // heads) + heads * dim_k + dim_k * 8 // heads)
    if scope and parts[1]:
        copies += dim_k * dim_u * prod(min(scope, 2 * side - 1) for side in size)
    assert cost.activations <= kept <= cost.activations + copies


@some
@given(size=sides, batch=batches, dim_k=depths, dim_u=st.integers(1, 3), scope=st.sampled_from([None, 1, 7]))
def test_original_lambda_layer(size, batch, dim_k, dim_u, scope):
    shape = {"dim_k": dim_k, "heads": 2, "dim_u": max(dim_u, 2 if scope is None else 1), "scope": scope}
    cost = original_lambda_cost(6, size, 8, **shape, batch=batch)
    check(lambda: OriginalLambdaLayer(6, 8, **shape), 6, size, batch, cost)
    kept = kept_numbers(OriginalLambdaLayer(6, 8, **shape), torch.randn(batch, 6, *size))
    assert cost.activations <= kept <= 2 * cost.activations


@some
@given(size=st.tuples(st.integers(1, 7), st.integers(1, 7)), scope=st.sampled_from([1, 3, 5, 9, 23]))
def test_pairs_by_loop(size, scope):
    positions, r = list(product(range(size[0]), range(size[1]))), scope // 2
    inside = sum(abs(n[0] - m[0]) <= r and abs(n[1] - m[1]) <= r for n, m in product(positions, repeat=2))
    assert pairs(size, scope, "inside") == inside
    assert pairs(size, scope, "paper") == sum(min(scope**2, len(positions)) for _ in positions)
    assert pairs(size, scope, "computed") == sum(prod(min(scope, 2 * side - 1) for side in size) for _ in positions)
    assert inside <= min(pairs(size, scope, count) for count in COUNTS)
    assert {pairs(size, None, count) for count in COUNTS} == {len(positions) ** 2}


def test_computed_is_a_padded_convolution():
    side = 15
    assert pairs((side, side), 23) == side**2 * 23**2
    assert pairs((2, 300), 23) == 600 * 3 * 23
    assert pairs((side, side), 23, "inside") < pairs((side, side), 23, "paper") <= pairs((side, side), 23)


configs = st.builds(
    lambda block, letters, **options: ModelConfig("random", (1,) * len(letters), block, "".join(letters), **options),
    st.sampled_from(["basic", "bottleneck"]),
    st.lists(st.sampled_from("CL"), min_size=1, max_size=3),
    width=st.sampled_from([8, 12]),
    stem=st.sampled_from(["cifar", "imagenet"]),
    num_classes=st.integers(1, 12),
    dim_k=depths,
    heads=heads,
    dim_u=st.integers(1, 2),
    scope=st.sampled_from([3, 7, 23, None]),
    image_size=st.sampled_from([32, 41]),
    se_ratio=st.sampled_from([None, 2, 5]),
    content=st.booleans(),
)


@few
@given(config=configs, batch=st.integers(1, 2), depth=st.integers(1, 2))
def test_networks(config, batch, depth):
    config = replace(config, depths=(depth,) * len(config.stages))
    size = config.image_size
    check(lambda: ResNet(in_order(config)), 3, (size, size), batch, model_cost(config, size, batch))


@few
@given(config=configs, original=st.booleans())
def test_convolutional_networks_keep_what_the_formula_says_to_the_number(config, original):
    config = replace(config, stages="C" * len(config.stages))
    if original:
        config = replace(config, block="original", se_ratio=None, content=True)
    size = config.image_size
    kept = kept_numbers(ResNet(config), torch.randn(2, 3, size, size))
    assert model_cost(config, size, 2).activations == kept


@few
@given(config=configs)
def test_lambda_networks_keep_the_formulas_numbers_and_some_copies(config):
    size = config.image_size
    x = torch.randn(2, 3, size, size)
    for order, contraction in (("lambda", first_order(config.scope)), ("map", "banded")):
        kept = kept_numbers(ResNet(replace(config, contraction=contraction)), x)
        assert 1 <= kept / model_cost(config, size, 2, order=order).activations < 1.3


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if sum(config.depths) <= 16])
def test_named_networks(name):
    config = model_config(name)
    size = 32 if config.stem == "cifar" else 224
    check(lambda: ResNet(in_order(config)), 3, (size, size), 1, model_cost(config, size))


@pytest.mark.parametrize(
    ("options", "printed", "recount"),
    [({"position": False}, 5.0, 5.02), ({"content": False}, 11.9, 11.89), ({}, 12.0, 11.96)],
)
def test_the_papers_three_flops(options, printed, recount):
    flops = 2 * model_cost(model_config("lambda_resnet50", **options), 224, count="paper").macs / 1e9
    assert round(flops, 1) == printed and round(flops, 2) == recount


def test_counts_differ_in_multiply_adds_alone():
    config = model_config("lambda_resnet50")
    one, two, three = (model_cost(config, 224, count=count) for count in COUNTS)
    assert one.parameters == two.parameters == three.parameters == 14_995_592
    assert one.activations == two.activations == three.activations
    assert one.macs > two.macs > three.macs


def test_layers_compared_are_the_three_layers():
    bills = compare_layers(8, 6, batch=2, dim_k=3, heads=2, dim_u=2, scope=5)
    shape = {"dim_k": 3, "heads": 2, "batch": 2}
    assert list(bills.values()) == [
        convolution_cost(8, (6, 6), batch=2),
        attention_cost(8, (6, 6), **shape),
        lambda_cost(8, (6, 6), dim_u=2, scope=5, **shape),
    ]


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="count must be one of"):
        pairs((4, 4), 3, "guessed")
    with pytest.raises(UserError, match="made for pictures of 32×32, got 33"):
        model_cost(model_config("lambda_resnet11_tiny", scope=None, image_size=32), 33)
    with pytest.raises(UserError, match="order must be one of lambda, map; got 'dense'"):
        lambda_cost(8, (4, 4), order="dense")
    with pytest.raises(UserError, match="heads must divide"):
        lambda_cost(8, (4, 4), heads=3)
