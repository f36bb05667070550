"""The closed forms of ``formulas`` against what torch counts, and against the sizes of the tensors themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lambdalab import UserError, apply_lambda, content_lambda, position_lambda
from lambdalab.formulas import (
    Count,
    Shape,
    count_attention,
    count_content_lambda,
    count_lambda,
    count_lambda_convolution,
    count_linear_attention,
    count_position_lambda,
)

# Sizes of at least 2: torch leaves out of its count an einsum that needs no sum over an axis of length 1.
size = st.integers(2, 6)
shapes = st.builds(Shape, n=size, m=size, k=size, v=size, h=size, b=size, u=size)


def counted(work) -> tuple[int, int]:
    """Multiply-adds that torch counts in work(), and the numbers in the tensors that it returns."""
    with FlopCounterMode(display=False) as counter:
        stored = work()
    return counter.get_total_flops() // 2, sum(tensor.numel() for tensor in stored)


def parts(s: Shape):
    """Random queries, keys, values and embeddings of a lambda layer."""
    keys, values = torch.randn(s.b, s.m, s.u, s.k), torch.randn(s.b, s.m, s.u, s.v)
    return torch.randn(s.b, s.h, s.n, s.k), keys, values, torch.randn(s.n, s.m, s.u, s.k)


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_attention(s):
    def work():
        queries, keys = torch.randn(s.b, s.h, s.n, s.k), torch.randn(s.b, s.h, s.m, s.k)
        values = torch.randn(s.b, s.h, s.m, s.v)
        attention = torch.einsum("bhnk,bhmk->bhnm", queries, keys).softmax(dim=-1)
        torch.einsum("bhnm,bhmv->bhnv", attention, values)
        return [attention]

    count = count_attention(s)
    assert (count.multiply_adds, count.numbers) == counted(work)


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_linear_attention(s):
    def work():
        queries, keys = torch.rand(s.b, s.h, s.n, s.k), torch.rand(s.b, s.h, s.m, s.k)
        summary = torch.einsum("bhmk,bhmv->bhkv", keys, torch.randn(s.b, s.h, s.m, s.v))
        total = keys.sum(dim=2)
        torch.einsum("bhnk,bhkv->bhnv", queries, summary) / torch.einsum("bhnk,bhk->bhn", queries, total).unsqueeze(-1)
        return [summary, total]

    count = count_linear_attention(s)
    assert (count.multiply_adds, count.numbers) == counted(work)


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_content_lambda(s):
    def work():
        queries, keys, values, _ = parts(s)
        content = content_lambda(keys, values)
        apply_lambda(queries, content)
        return [content]

    count = count_content_lambda(s)
    assert (count.multiply_adds, count.numbers) == counted(work)


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_position_lambda(s):
    def work():
        queries, _, values, embeddings = parts(s)
        position = position_lambda(embeddings, values)
        apply_lambda(queries, position)
        return [embeddings, position]

    count = count_position_lambda(s)
    assert (count.multiply_adds, count.numbers) == counted(work)


@settings(max_examples=25, deadline=None)
@given(shapes)
def test_both_lambdas(s):
    def work():
        queries, keys, values, embeddings = parts(s)
        content, position = content_lambda(keys, values), position_lambda(embeddings, values)
        apply_lambda(queries, content.unsqueeze(1) + position)
        return [content, embeddings, position]

    count = count_lambda(s)
    assert (count.multiply_adds, count.numbers) == counted(work)


@settings(max_examples=25, deadline=None)
@given(shapes, st.integers(2, 5), st.sampled_from([3, 5]))
def test_lambda_convolution(s, side, scope):
    s = Shape(**vars(s) | {"n": side * side, "m": scope * scope})

    def work():
        queries, table = torch.randn(s.b, s.h, s.n, s.k), torch.randn(s.k, s.u, scope, scope)
        keys, values = torch.randn(s.b, s.n, s.u, s.k), torch.randn(s.b, s.n, s.u, s.v)
        maps = values.permute(0, 3, 2, 1).reshape(s.b * s.v, s.u, side, side)
        position = F.conv2d(maps, table, padding=scope // 2)
        content = content_lambda(keys, values)
        position_of = position.reshape(s.b, s.v, s.k, s.n).permute(0, 3, 2, 1)
        apply_lambda(queries, content.unsqueeze(1) + position_of)
        return [table, position, content]

    count = count_lambda_convolution(s)
    assert (count.multiply_adds, count.numbers) == counted(work)


@given(shapes)
def test_what_grows_with_heads_and_batch(s):
    """Multi-query: more heads cost attention another map each, and a lambda only its application."""
    more = Shape(**vars(s) | {"h": 2 * s.h})
    assert count_attention(more).numbers == 2 * count_attention(s).numbers
    assert count_lambda(more).numbers == count_lambda(s).numbers
    assert count_lambda(more).multiply_adds - count_lambda(s).multiply_adds == s.b * s.h * s.n * s.k * s.v
    larger = Shape(**vars(s) | {"b": 2 * s.b})
    assert 2 * count_lambda(s).numbers - count_lambda(larger).numbers == s.n * s.m * s.u * s.k


def test_bytes_are_numbers_of_so_many_bytes():
    assert Count(1, 10).bytes == 40
    shape = Shape(n=2, m=3, k=4, v=5, h=6, b=7)
    for count in (
        count_attention,
        count_linear_attention,
        count_content_lambda,
        count_position_lambda,
        count_lambda,
        count_lambda_convolution,
    ):
        assert count(shape, itemsize=2).bytes == 2 * count(shape).numbers
        assert count(shape).bytes == 4 * count(shape).numbers


def test_a_number_of_the_papers_size_by_hand():
    """n = m = 32², k = 16, h = 4, d = 256, 128 pictures: written out, not computed by the same expressions."""
    shape = Shape(n=1024, m=1024, k=16, v=64, h=4, b=128)
    assert shape.d == 256
    assert count_attention(shape) == Count(multiply_adds=42_949_672_960, numbers=536_870_912)
    assert count_lambda(shape).numbers == 16_777_216 + 134_217_728 + 131_072


@pytest.mark.parametrize("wrong", [{"n": 0}, {"m": -1}, {"k": 1.5}, {"v": None}, {"h": "4"}, {"u": 0}])
def test_refuses_a_shape_that_cannot_be(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))} must be a whole number of at least 1"):
        Shape(**{"n": 1, "m": 1, "k": 1, "v": 1} | wrong)
