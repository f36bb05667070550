"""Every order of the position term's sums against the paper's equations: values, gradients, tilings, transforms."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from reference import picture, randomise, relative_error
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lambdalab.choices import ORDERS
from lambdalab.contraction import (
    content_term,
    convolve,
    crop,
    lambda_convolution,
    lambda_first,
    map_first,
    position_lambdas,
)
from lambdalab.cuts import Tiling
from lambdalab.equations import apply_lambda, content_lambda, position_lambda, relative_embeddings
from lambdalab.layers import LambdaLayer
from lambdalab.tiles import Scratch

TILINGS = st.builds(
    Tiling, st.integers(1, 7), st.integers(1, 7), st.sampled_from(["pictures", "rows"]), st.integers(1, 5)
)
SHAPES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 3),
        "size": st.tuples(st.integers(1, 7), st.integers(1, 7)),
        "heads": st.integers(1, 3),
        "dim_k": st.integers(1, 4),
        "dim_u": st.integers(1, 3),
        "dim_v": st.integers(1, 5),
        "scope": st.sampled_from([1, 3, 5, 23]),
        "seed": st.integers(0, 99),
    }
)


def tensors(batch, size, heads, dim_k, dim_u, dim_v, scope, seed, dtype=torch.float64):
    """Queries (b, H, W, h, k), values (b, H, W, u, v) and a cropped embedding, all wanting gradients."""
    queries = picture(batch, *size, heads, dim_k, seed=seed)
    values = picture(batch, *size, dim_u, dim_v, seed=seed + 1)
    embedding = crop(picture(dim_k, dim_u, scope, scope, seed=seed + 2), size)
    return [each.to(dtype).detach().requires_grad_() for each in (queries, values, embedding)]


def by_equations(queries, values, embedding):
    """The paper's equations; h and n change places, and pixels become one axis."""
    size = queries.shape[1:3]
    lambdas = position_lambda(relative_embeddings(embedding, size), values.flatten(1, 2))
    y = apply_lambda(queries.flatten(1, 2).transpose(1, 2), lambdas)
    return y.transpose(1, 2).unflatten(1, size)


def check(order, inputs, tolerance):
    """An order's output and gradients against the equations' in float64."""
    exact = [each.detach().double().requires_grad_() for each in inputs]
    expected, y = by_equations(*exact), order(*inputs)
    weigh = picture(*expected.shape, seed=9)
    wanted = [expected, *torch.autograd.grad(expected, exact, weigh)]
    for ours, theirs in zip([y, *torch.autograd.grad(y, inputs, weigh.to(y.dtype))], wanted, strict=True):
        assert relative_error(ours.double(), theirs) <= tolerance


@given(shape=SHAPES, order=st.sampled_from([lambda_first, convolve]))
def test_plain_orders_equal_the_equations(shape, order):
    check(order, tensors(**shape), 1e-10)


@pytest.mark.parametrize(
    ("dim_u", "scope", "dim_v", "last"),
    [(1, 5, 3, True), (1, 7, 3, False), (2, 5, 3, True), (2, 15, 1, False), (2, 15, 2, True)],
)
def test_the_convolution_keeps_its_channels_where_they_serve_it(dim_u, scope, dim_v, last):
    # Last, where the products then read λp as it lies; not with one channel and a large window (slower), nor with a
    # large window and few pictures (oneDNN's gradient of the weights then takes fifty times as long).
    inputs = tensors(2, (12, 13), 2, 4, dim_u, dim_v, scope, seed=0)
    check(convolve, inputs, 1e-10)
    lambdas = lambda_convolution(*inputs[1:])
    assert (lambdas.stride(-2) == 1) == last
    with Copies(lambdas.numel()) as copies:
        convolve(*inputs)
    assert copies.count == (not last)


@pytest.mark.parametrize("order", [lambda_first, convolve])
def test_no_pictures_give_no_pictures(order):
    queries, values, embedding = tensors(1, (12, 13), 2, 4, 1, 3, 5, seed=0)
    assert order(queries[:0], values[:0], embedding).shape == (0, 12, 13, 2, 3)


class Copies(TorchDispatchMode):
    """Counts the copies made of tensors of this many numbers."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers, self.count = numbers, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if function.overloadpacket in (torch.ops.aten.clone, torch.ops.aten.copy_):
            self.count += result.numel() == self.numbers
        return result


@given(shape=SHAPES, tiling=TILINGS)
def test_every_tiling_of_the_map_equals_the_equations(shape, tiling):
    check(lambda *inputs: map_first(*inputs, tiling), tensors(**shape), 1e-10)


@given(shape=SHAPES, tiling=TILINGS)
def test_tiles_in_single_precision(shape, tiling):
    check(lambda *inputs: map_first(*inputs, tiling), tensors(**shape, dtype=torch.float32), 1e-5)


@pytest.mark.parametrize(
    ("batch", "dim_k", "dim_v", "turned"),
    [
        pytest.param(3, 16, 32, False, id="whole vectors, rows of the map 768 bytes apart"),
        pytest.param(8, 16, 32, True, id="rows of the map 2 kB apart"),
        pytest.param(3, 16, 31, True, id="values of no whole vectors"),
        pytest.param(5, 8, 32, True, id="queries of half a vector"),
    ],
)
def test_products_of_tiles_are_turned_round_where_it_is_quicker(batch, dim_k, dim_v, turned, monkeypatch):
    inputs, names, call = tensors(batch, (8, 8), 4, dim_k, 1, dim_v, 15, 0, torch.float32), set(), Scratch.__call__
    monkeypatch.setattr(Scratch, "__call__", lambda self, name, *shape: names.add(name) or call(self, name, *shape))
    check(lambda *tensors: map_first(*tensors, Tiling(8, 8, "pictures", batch)), inputs, 1e-5)
    assert ("turned" in names) == turned


@given(shape=SHAPES)
def test_content_term_equals_the_equation(shape):
    queries, values, _ = tensors(**shape)
    b, height, width, _, k = queries.shape
    keys = picture(b, height * width, values.shape[3], k, seed=4)
    y = apply_lambda(queries.flatten(1, 2).transpose(1, 2), content_lambda(keys, values.flatten(1, 2)))
    assert relative_error(content_term(queries, keys, values).flatten(1, 2), y.transpose(1, 2)) <= 1e-10


@given(shape=SHAPES)
def test_position_lambdas_are_the_same_over_pairs_and_windows(shape):
    _, values, embedding = tensors(**shape)
    size = shape["size"]
    lambdas = position_lambda(relative_embeddings(embedding, size), values.flatten(1, 2))
    assert relative_error(position_lambdas(values.flatten(1, 2), embedding, size), lambdas) <= 1e-10


@given(scope=st.sampled_from([1, 3, 7, 23]), size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_crop_leaves_out_what_no_pair_of_pixels_has(scope, size):
    table = torch.arange(1.0, scope**2 + 1).reshape(1, 1, scope, scope)
    left, spread = crop(table, size), relative_embeddings(table, size)
    assert set(left.flatten().tolist()) == set(spread.flatten().tolist()) - {0.0}


def test_second_derivatives_of_the_tiles():
    shape = {"batch": 1, "size": (3, 2), "heads": 2, "dim_k": 2, "dim_u": 2, "dim_v": 2, "scope": 3, "seed": 0}
    assert torch.autograd.gradgradcheck(lambda *inputs: map_first(*inputs, Tiling(1, 2, "rows", 2)), tensors(**shape))


def test_the_operator_keeps_pytorchs_contract():
    shape = {"batch": 2, "size": (4, 3), "heads": 2, "dim_k": 2, "dim_u": 2, "dim_v": 3, "scope": 3, "seed": 0}
    torch.library.opcheck(torch.ops.lambdalab.position_term, (*tensors(**shape), 2, 2, "rows", 2))


@pytest.mark.parametrize("tiling", [Tiling(5, 4, "pictures", 2), Tiling(1, 4, "rows", 3)])
def test_tensors_that_begin_inside_others(tiling):
    inputs = tensors(batch=3, size=(5, 4), heads=2, dim_k=3, dim_u=1, dim_v=3, scope=3, seed=0)
    later = [each[1:] for each in inputs[:2]]
    assert relative_error(map_first(*later, inputs[2], tiling), by_equations(*inputs)[1:]) <= 1e-10


def test_gradients_that_a_sum_sends_back_have_no_strides():
    inputs = tensors(batch=2, size=(5, 4), heads=2, dim_k=3, dim_u=1, dim_v=3, scope=3, seed=0)
    gradients = torch.autograd.grad(map_first(*inputs, Tiling(1, 4, "rows", 3)).sum(), inputs)
    expected = torch.autograd.grad(by_equations(*inputs).sum(), inputs)
    assert all(relative_error(*pair) <= 1e-10 for pair in zip(gradients, expected, strict=True))


def small_layer(order: str = "auto", **options) -> LambdaLayer:
    return randomise(LambdaLayer(4, 8, dim_k=3, heads=2, dim_u=2, scope=5, contraction=order, **options), 0)


@pytest.mark.parametrize("order", ["auto", *ORDERS])
def test_compiles_without_a_graph_break(order):
    layer, x = small_layer(order).train(), picture(2, 4, 6, 5).float()
    torch.compiler.reset()  # each order compiles the same code anew
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    expected = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    actual = torch.autograd.grad(compiled(x).square().sum(), list(layer.parameters()))
    for ours, theirs in zip(actual, expected, strict=True):
        assert relative_error(ours, theirs) <= 1e-4
    assert relative_error(compiled(x[:, :, :4, :4]), layer(x[:, :, :4, :4])) <= 1e-5  # another size


@pytest.mark.parametrize("order", ["auto", *ORDERS])
def test_exports_with_pytorchs_own_operations(order):
    layer, x = small_layer(order).eval(), picture(2, 4, 6, 5).float()
    program = torch.export.export(layer, (x,))
    assert "lambdalab" not in str(program.graph)
    assert relative_error(program.module()(x), layer(x)) <= 1e-5


@pytest.mark.parametrize("where", [{"scope": 5}, {"scope": None, "size": (6, 5)}])
def test_exports_to_onnx(where):
    layer, x = randomise(LambdaLayer(4, 8, dim_k=3, heads=2, dim_u=2, **where), 0).eval(), picture(2, 4, 6, 5).float()
    graph = torch.onnx.export(layer, (x,), dynamo=True, verbose=False).model_proto
    (y,) = ReferenceEvaluator(graph).run(None, {graph.graph.input[0].name: x.numpy()})
    assert relative_error(torch.from_numpy(y), layer(x)) <= 1e-5


@pytest.mark.parametrize("order", ["auto", *ORDERS])
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_in_and_out(order, training):
    layer, x = small_layer(order).train(training), picture(2, 4, 6, 5).float()
    y = layer(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert relative_error(y, layer(x)) <= 1e-5


def test_a_new_batch_norm_takes_the_old_ones_place():
    """As torch.nn.SyncBatchNorm.convert_sync_batchnorm does."""
    layer, x = small_layer().double().eval(), picture(2, 4, 6, 5)
    layer.norm_v = nn.Identity()
    expected = layer.to_v(x).flatten(2).transpose(1, 2).unflatten(2, (2, 4))
    assert relative_error(layer.project(x).values, expected) <= 1e-10


def test_the_convolution_of_windows_twice_as_tall_as_a_narrow_map_keeps_to_its_memory():
    """In a process of its own, since PyTorch's gradient of such weights writes beyond its memory and ends it."""
    program = """
import torch
from test_contraction import check, convolve, tensors
for size in ((12, 6), (6, 12), (10, 1), (12, 12)):
    inputs = tensors(3, size, 2, 8, 1, 4, 23, seed=1, dtype=torch.float32)
    if size == (12, 12):
        inputs[2] = inputs[2][..., 6:-6].detach().requires_grad_()
    check(convolve, inputs, 1e-5)
"""
    strict = os.environ | {"MALLOC_CHECK_": "3"}
    run = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, env=strict, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()[-2000:]
