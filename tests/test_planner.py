"""The planner: what it counts against what is computed, its choices, its bound on memory, what it prints."""

from itertools import product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from lambdalab import tiles
from lambdalab.bench.planner import PlannerBench, name_of, random_shapes, regrets
from lambdalab.choices import ORDERS, TILE_BYTES, alternatives, choose
from lambdalab.contraction import lambda_convolution
from lambdalab.equations import position_lambda, relative_embeddings
from lambdalab.errors import UserError
from lambdalab.layers import LambdaLayer
from lambdalab.planner import plan
from lambdalab.prices import price, read_prices
from lambdalab.work import CACHE_NUMBERS, Shape, count_kernel, count_plain, count_tiles

SHAPES = st.builds(
    lambda **letters: Shape(**letters),
    batch=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dim_k=st.integers(1, 5),
    dim_v=st.sampled_from([8, 16]),
    heads=st.integers(1, 3),
    dim_u=st.integers(1, 3),
    window=st.just((1, 1)),
)
SCOPES = st.sampled_from([1, 3, 5, 23])


def with_scope(shape: Shape, scope: int) -> Shape:
    return shape._replace(window=(min(scope, 2 * shape.height - 1), min(scope, 2 * shape.width - 1)))


def inputs_of(shape: Shape) -> list[torch.Tensor]:
    pixels = shape.batch, shape.height, shape.width
    return [
        torch.randn(*pixels, shape.heads, shape.dim_k),
        torch.randn(*pixels, shape.dim_u, shape.dim_v),
        torch.randn(shape.dim_k, shape.dim_u, *shape.window),
    ]


def counted(function, *arguments) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops() // 2


@settings(max_examples=20)
@given(shape=SHAPES, scope=SCOPES, order=st.sampled_from(["dense", "banded"]), tile=st.sampled_from([1, 3000, 10**6]))
def test_products_of_tiles_are_counted_exactly(shape, scope, order, tile):
    shape = with_scope(shape, scope)
    tiling, inputs = choose(shape, order, tile).tiling, inputs_of(shape)
    work = count_tiles(shape, tiling)[0]
    assert counted(tiles.position_term, *inputs, tiling) == work["q·E"] + work["a·V"]
    grad = torch.randn(*inputs[0].shape[:4], shape.dim_v)
    backward = counted(tiles.position_term_gradients, grad, *inputs, tiling)
    assert backward == 3 * work["q·E, back"] + 2 * work["a·V, back"]


@settings(max_examples=20)
@given(shape=SHAPES, scope=SCOPES)
def test_products_of_the_plain_orders_are_counted_exactly(shape, scope):
    shape = with_scope(shape, scope)
    inputs, n = inputs_of(shape), shape.height * shape.width
    assume(n > 1)  # with one pixel einsum multiplies numbers instead of matrices
    window, values = shape.window[0] * shape.window[1], shape.dim_u * shape.dim_k * shape.dim_v
    spread = relative_embeddings(inputs[2], (shape.height, shape.width))
    pairs = counted(position_lambda, spread, inputs[1].flatten(1, 2))
    assert pairs == count_plain(shape, "lambda")[0]["all pairs"] == shape.batch * n * n * values
    convolved = counted(lambda_convolution, *inputs[1:])
    assert convolved == shape.batch * n * window * values
    # A convolution computes 16 output channels at a time, so that many k are charged for.
    work = count_plain(shape, "convolve")[0]
    assert convolved * 16 == (work["window"] + work["window of one channel, last"]) * shape.dim_k


class Largest(TorchDispatchMode):
    """Remembers the largest result of a batched product."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if function.overloadpacket is torch.ops.aten.bmm:
            self.numbers = max(self.numbers, result.numel())
        return result


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (14, 14)])
@pytest.mark.parametrize("tile_bytes", [2**18, 2**20])
def test_no_tile_is_larger_than_its_bound(size, tile_bytes):
    shape = Shape(8, *size, 16, 16, 4, 1, (23, 23))
    tiling, inputs = choose(shape, "banded", tile_bytes).tiling, inputs_of(shape)
    with Largest() as largest:
        tiles.position_term(*inputs, tiling)
    assert tile_bytes / 32 < 4 * largest.numbers <= tile_bytes


@given(shape=SHAPES, scope=SCOPES, training=st.booleans())
def test_the_choice_is_the_cheapest_and_every_order_can_be_had(shape, scope, training):
    shape = with_scope(shape, scope)._replace(training=training)
    ways = alternatives(shape)
    assert sorted(way.order for way in ways) == sorted(ORDERS)
    chosen, fitting = choose(shape), [way for way in ways if way.fits]
    alike = [way for way in fitting if way.seconds <= 1.05 * min(way.seconds for way in ways)] or fitting
    assert chosen.seconds == min(way.seconds for way in alike) == price(chosen.work, "cpu")
    assert all(choose(shape, order).order == order for order in ORDERS)
    assert all(way.seconds > 0 and way.memory > 0 for way in ways)


def test_of_orders_predicted_alike_the_one_of_least_memory():
    told = set()
    for shape in random_shapes(300, seed=1):
        quickest, *slower = sorted((way for way in alternatives(shape) if way.fits), key=lambda way: way.seconds)
        alike = [quickest, *(way for way in slower if way.seconds <= 1.05 * quickest.seconds)]
        chosen = choose(shape)
        assert chosen in alike
        assert chosen == quickest or chosen.memory < quickest.memory
        assert all(chosen.memory // CACHE_NUMBERS <= way.memory // CACHE_NUMBERS for way in alike)
        told.add(chosen == quickest)
        assert ("with less memory" in plan(shape).reason) == (chosen != quickest)
    assert told == {True, False}


def test_backward_and_larger_pictures_cost_more():
    shape = Shape(4, 16, 16, 16, 16, 4, 1, (7, 7), training=False)
    for order in ORDERS:
        forward, both = choose(shape, order), choose(shape._replace(training=True), order)
        assert both.seconds > 1.5 * forward.seconds
        assert choose(shape._replace(height=32), order).seconds > 1.5 * forward.seconds


def test_every_unit_of_work_has_a_price():
    for device in TILE_BYTES:
        shape = Shape(99, 60, 61, 16, 16, 4, 1, (7, 7), device=device)
        units = {
            unit
            for training, dtype, dim_u, window in product(
                (True, False), (torch.float32, torch.bfloat16), (1, 4), ((7, 7), (23, 23))
            )
            for way in alternatives(shape._replace(training=training, dtype=dtype, dim_u=dim_u, window=window))
            for unit in way.work
        }
        units |= count_kernel(shape)[0].keys()
        assert set(read_prices()[device]) <= units
        assert all(any(unit in read_prices()[device] for unit in way.work) for way in alternatives(shape))


def test_a_plan_says_what_is_chosen_and_why():
    layer = LambdaLayer(16, dim_k=4, scope=5)
    found = layer.plan((8, 6), batch=2)
    text = str(found)
    assert text.startswith("2 pictures of 8×6, k=4, v=4, h=4, u=1, window 5×5, cpu, forward and backward")
    assert f"→ {found.choice.order}" in text and all(order in text for order in ORDERS)
    assert found.choice == found.alternatives[0] and found.reason.startswith(f"{found.choice.order}: predicted")
    assert "measured" in text and all(way.measured is None for way in found.alternatives)
    assert "forward\n" in str(layer.eval().plan((8, 6)))


def test_a_plan_measures_on_request():
    shape = Shape(1, 4, 4, 2, 4, 2, 1, (3, 3))
    ways = plan(shape, measure=True).alternatives
    assert all(way.measured > 0 for way in ways)


def test_a_forced_order_is_planned_as_asked_for():
    found = LambdaLayer(16, scope=5, contraction="lambda").plan((20, 20))
    assert found.choice.order == "lambda" and found.reason == "lambda, as asked for"


def test_nothing_to_plan_without_positions():
    with pytest.raises(UserError, match="nothing to plan"):
        LambdaLayer(16, position=False).plan((4, 4))


def test_random_shapes_repeat_and_differ_by_seed():
    shapes = random_shapes(12, seed=1)
    assert shapes == random_shapes(12, seed=1) != random_shapes(12, seed=2)
    assert any(shape.height != shape.width for shape in shapes) and len({shape.training for shape in shapes}) == 2
    assert all(r % 2 == 1 and r <= 2 * side - 1 for s in shapes for r, side in zip(s.window, s[1:3], strict=True))


def test_the_benchmark_times_the_choice_first():
    shape = Shape(1, 4, 5, 2, 4, 2, 1, (3, 3))
    rows = PlannerBench(repeats=1, seconds=0).rows([shape])
    assert rows[0]["order"] == alternatives(shape)[0].order and all(row["seconds"] > 0 for row in rows)
    assert {row["shape"] for row in rows} == {name_of(shape)} == {"b1-4x5-k2-v4-h2-u1-w3x3-training"}


def test_regret_is_the_choices_time_over_the_bests():
    times = {"a": [3.0, 2.0, 4.0], "b": [1.0, 5.0]}
    assert regrets([{"shape": name, "seconds": each} for name in times for each in times[name]]) == {"a": 1.5, "b": 1.0}
