"""The closed form of a lambda layer that sums map first, and every order of the sums without numbers."""

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdalab import LambdaLayer, count_parameters
from lambdalab.choices import ORDERS
from lambdalab.cost import lambda_cost
from lambdalab.timing import counted_macs, kept_numbers

some = settings(max_examples=40, deadline=None)
layers = st.fixed_dictionaries(
    {
        "dim_k": st.integers(2, 5),
        "heads": st.sampled_from([1, 2, 4]),
        "dim_u": st.integers(1, 3),
        "scope": st.sampled_from([None, 1, 3, 23]),
        "content": st.booleans(),
    }
)
sizes, batches = st.tuples(st.integers(2, 9), st.integers(2, 9)), st.integers(1, 3)


def make(shape, size, order):
    return LambdaLayer(6, 8, **shape, contraction=order, size=None if shape["scope"] else size)


@some
@given(size=sizes, batch=batches, shape=layers, order=st.sampled_from(["dense", "banded"]))
def test_map_first_keeps_what_the_formula_says_to_the_number(size, batch, shape, order):
    cost, layer = lambda_cost(6, size, 8, **shape, batch=batch, order="map"), make(shape, size, order)
    assert cost.parameters == count_parameters(layer)
    assert cost.activations == kept_numbers(layer, torch.randn(batch, 6, *size))


@some
@given(size=sizes, batch=batches, shape=layers)
def test_position_lambdas_and_spread_embeddings_are_what_map_first_does_without(size, batch, shape):
    first, other = (lambda_cost(6, size, 8, **shape, batch=batch, order=order) for order in ("lambda", "map"))
    n, k, v = prod(size), shape["dim_k"], 8 // shape["heads"]
    spread = 0 if shape["scope"] else n * n * (shape["dim_u"] * k + 1)
    assert first.activations - other.activations == batch * n * k * v + spread


@some
@given(size=sizes, batch=batches, shape=layers)
def test_a_dense_tile_multiplies_the_pairs_of_the_global_context(size, batch, shape):
    cost = lambda_cost(6, size, 8, **shape | {"scope": None}, batch=batch, order="map")
    with torch.device("meta"):
        layer, x = make(shape, size, "dense"), torch.empty(batch, 6, *size)
    assert cost.macs == counted_macs(layer, x)


@some
@given(size=sizes, batch=batches, shape=layers)
def test_bands_multiply_no_pair_less_than_there_are_inside(size, batch, shape):
    cost = lambda_cost(6, size, 8, **shape, batch=batch, count="inside", order="map")
    with torch.device("meta"):
        layer, x = make(shape, size, "banded"), torch.empty(batch, 6, *size)
    assert cost.macs <= counted_macs(layer, x)


@pytest.mark.parametrize("order", ["auto", *ORDERS])
def test_every_order_runs_without_numbers(order):
    with torch.device("meta"):
        layer, x = LambdaLayer(6, 8, heads=2, scope=5, contraction=order), torch.empty(2, 6, 9, 7)
    assert layer(x).shape == (2, 8, 9, 7) and counted_macs(layer, x) > 0
    layer(x).sum().backward()
    assert layer.embedding.grad.shape == layer.embedding.shape
