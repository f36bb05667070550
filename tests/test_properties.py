"""What must hold for LambdaLayer whatever its weights are and whatever it looks at."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import picture, randomise, relative_error
from torch.nn import functional as F

from lambdalab.choices import ORDERS
from lambdalab.equations import apply_lambda, relative_embeddings
from lambdalab.layers import LambdaLayer

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)


def make_layer(*shape: int, seed: int, **options) -> LambdaLayer:
    return randomise(LambdaLayer(*shape, **options).double(), seed)


@few
@given(seed=seeds, dim_u=st.sampled_from([1, 2]), training=st.booleans())
def test_lambdas_are_what_forward_applies(seed, dim_u, training):
    layer = make_layer(3, 8, seed=seed, dim_k=5, heads=4, dim_u=dim_u, scope=3).train(training)
    x = picture(2, 3, 4, 3, seed=seed)
    queries, content, position = layer.lambdas(x)
    assert queries.shape == (2, 4, 12, 5) and content.shape == (2, 5, 2) and position.shape == (2, 12, 5, 2)
    y = apply_lambda(queries, content.unsqueeze(1) + position)  # (b, h, n, v)
    assert relative_error(layer(x), y.transpose(2, 3).reshape(2, 8, 4, 3)) <= 1e-10


@few
@given(seed=seeds)
def test_content_and_position_add_up(seed):
    shape = {"dim_k": 3, "heads": 2, "dim_u": 2, "scope": 3}
    both, x = make_layer(4, seed=seed, **shape), picture(2, 4, 3, 4, seed=seed)
    parts = []
    for part in ("content", "position"):
        other = LambdaLayer(4, **shape, **{part: False}).double()
        other.load_state_dict({name: both.state_dict()[name] for name in other.state_dict()})
        assert getattr(other.lambdas(x), part) is None
        parts.append(other(x))
    assert relative_error(sum(parts), both(x)) <= 1e-10
    assert relative_error(parts[0], parts[1]) > 1e-3


@few
@given(seed=seeds)
def test_output_is_an_attention_map_times_the_values(seed):
    layer, x = make_layer(3, 8, seed=seed, dim_k=3, heads=4, dim_u=2, scope=3), picture(2, 3, 3, 4, seed=seed)
    queries = layer.lambdas(x).queries
    keys = layer.to_k(x).reshape(2, 2, 3, 12).softmax(dim=3)
    values = layer.norm_v(layer.to_v(x)).reshape(2, 2, 2, 12)
    content = torch.einsum("bhnk,bukm->bhnmu", queries, keys)
    position = torch.einsum("bhnk,nmuk->bhnmu", queries, relative_embeddings(layer.embedding, (3, 4)))
    y = torch.einsum("bhnmu,buvm->bhvn", content + position, values)
    assert relative_error(layer(x), y.reshape(2, 8, 3, 4)) <= 1e-10


@few
@given(seed=seeds, training=st.booleans())
def test_content_lambda_does_not_know_the_order_of_the_pixels(seed, training):
    layer, x = (
        make_layer(3, 8, seed=seed, dim_k=3, dim_u=2, scope=3).train(training),
        picture(2, 3, 3, 4, seed=seed),
    )
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    before, after = layer.lambdas(x), layer.lambdas(x.flatten(2)[:, :, order].reshape(x.shape))
    assert relative_error(after.content, before.content) <= 1e-10
    assert relative_error(after.queries, before.queries[:, :, order]) <= 1e-10
    assert relative_error(after.position, before.position[:, order]) > 1e-6


@pytest.mark.parametrize("order", ORDERS)
@few
@given(seed=seeds, shift=st.tuples(st.integers(-2, 2), st.integers(-2, 2)), training=st.booleans())
def test_local_scope_is_translation_equivariant_away_from_the_border(order, seed, shift, training):
    # Rolling keeps the set of pixels, so the content lambda and the batch statistics stay; the 5×5 window of
    # each query compared lies inside the picture and off the seam, before and after.
    layer = make_layer(3, 8, seed=seed, dim_k=3, dim_u=2, scope=5, contraction=order).train(training)
    x = picture(2, 3, 9, 10, seed=seed)
    before, after = layer(x), layer(x.roll(shift, dims=(2, 3)))
    inner = [slice(2 + max(0, -step), length - 2 - max(0, step)) for step, length in zip(shift, (9, 10), strict=True)]
    moved = after.roll((-shift[0], -shift[1]), dims=(2, 3))[:, :, inner[0], inner[1]]
    assert relative_error(moved, before[:, :, inner[0], inner[1]]) <= 1e-10


@few
@given(seed=seeds, shift=st.tuples(st.integers(-1, 1), st.integers(-2, 2)))
def test_global_context_is_translation_equivariant_for_a_thing_on_nothing(seed, shift):
    # Without a bias in the batch norms an empty pixel has value 0 and query 0: the thing inside counts.
    layer = make_layer(3, 8, seed=seed, dim_k=3, dim_u=2, scope=None, size=(5, 7)).eval()
    for norm in (layer.norm_q, layer.norm_v):
        norm.running_mean.zero_()
        norm.bias.data.zero_()
    x = F.pad(picture(2, 3, 3, 3, seed=seed), (2, 2, 1, 1))
    assert relative_error(layer(x.roll(shift, dims=(2, 3))), layer(x).roll(shift, dims=(2, 3))) <= 1e-10


@few
@given(seed=seeds, order=st.permutations(range(4)))
def test_heads_share_the_lambdas(seed, order):
    layer, x = make_layer(3, 8, seed=seed, dim_k=3, heads=4, dim_u=2, scope=3), picture(2, 3, 3, 4, seed=seed)
    before, y = layer.lambdas(x), layer(x)
    for tensor in (layer.to_q.weight, layer.norm_q.weight, layer.norm_q.bias):
        tensor.data = tensor.data.unflatten(0, (4, 3))[order].flatten(0, 1)
    after = layer.lambdas(x)
    assert torch.equal(after.content, before.content) and torch.equal(after.position, before.position)
    assert relative_error(layer(x), y.unflatten(1, (4, 2))[:, order].flatten(1, 2)) <= 1e-10
