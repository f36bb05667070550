"""Peak memory, the machine's limits, whole networks and growth: what `lambdalab bench` measures besides layers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from memory_work import allocates, asks_for_too_much, dies, fails

from lambdalab import UserError
from lambdalab.bench import machine, scaling
from lambdalab.bench.memory import peak_memory
from lambdalab.bench.model import SIDES, cases, make_network, with_original_layers
from lambdalab.bench.scaling import ScalingBench, memory_ends, time_exponents
from lambdalab.layers import LambdaLayer
from lambdalab.original import OriginalLambdaLayer

# memory


@pytest.mark.parametrize("megabytes", [10, 160])
def test_peak_memory_of_a_known_allocation(megabytes):
    assert peak_memory(allocates, megabytes, 3) / 1e6 == pytest.approx(megabytes, rel=0.02)


def test_work_that_fails_or_dies_or_asks_for_too_much():
    with pytest.raises(RuntimeError, match="ValueError: no such work"):
        peak_memory(fails)
    assert peak_memory(dies) is None and peak_memory(asks_for_too_much) is None


# machine


def test_onednn_is_switched_back_and_refused_where_it_rounds(monkeypatch):
    settings = torch.backends.mkldnn.matmul
    before = settings.fp32_precision
    monkeypatch.setattr(machine, "product_error", lambda: 1e-6)
    with machine.onednn_products():
        assert settings.fp32_precision == "bf16"
    assert settings.fp32_precision == before
    monkeypatch.setattr(machine, "product_error", lambda: 4e-3)
    with pytest.raises(UserError, match="rounds float32 products to bfloat16"), machine.onednn_products():
        raise AssertionError("must not run")
    assert settings.fp32_precision == before


def test_product_error_sees_bfloat16(monkeypatch):
    assert machine.product_error() < 1e-5
    exact = torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: exact(tensor).bfloat16())
    assert machine.product_error() > machine.EXACT


# networks and growth


@pytest.mark.parametrize(("depth", "size"), [(18, 32), (50, 224)])
def test_the_originals_layer_stands_in_for_every_lambda_layer(depth, size):
    case = cases([depth], [size])[0]
    with torch.device("meta"):
        networks = {side: make_network(side, case) for side in SIDES}
    shapes = {
        side: [
            (layer.dim_v, layer.heads, layer.dim_u, layer.dim_k, layer.scope)
            for layer in network.modules()
            if isinstance(layer, LambdaLayer | OriginalLambdaLayer)
        ]
        for side, network in networks.items()
    }
    assert shapes["lambda"] == shapes["original's order"] and len(shapes["lambda"]) == {18: 16, 50: 16}[depth]
    assert shapes["resnet"] == [] and not any(isinstance(m, LambdaLayer) for m in networks[SIDES[1]].modules())
    assert with_original_layers(networks["resnet"]) is networks["resnet"]


@given(power=st.floats(1.01, 3), factor=st.floats(0.1, 10), sides=st.sets(st.integers(4, 128), min_size=2))
def test_exponents_and_the_end_of_memory(power, factor, sides):
    rows = [
        {
            "series": "s",
            "side": side,
            "pixels": side**2,
            "run": 1,
            "seconds": side ** (2 * power),
            "peak_mb": factor * side**power,
        }
        for side in sorted(sides)
    ]
    assert time_exponents(rows)["s"] == pytest.approx(power, rel=1e-6)
    assert memory_ends(rows, factor * 500**power)["s"] == pytest.approx(500, rel=1e-6)
    for growth in (0, 1e-9, 0.5):  # not the pictures'
        assert memory_ends([{**row, "peak_mb": factor * row["side"] ** growth} for row in rows], 1e6) == {}


def test_nothing_runs_that_would_need_more_memory_than_allowed(monkeypatch):
    measured = []

    def peak(prepare, series, shape, *_, device):
        measured.append((series, shape.size[0]))
        return shape.size[0] ** (2 if series in scaling.LOCAL else 4) / 1000

    monkeypatch.setattr(scaling, "peak_megabytes", peak)
    monkeypatch.setattr(scaling, "layer_step", lambda *_: lambda: None)
    rows = ScalingBench(limit_mb=17, repeats=1).rows([4, 8, 11, 12, 16])
    assert [(row["series"], row["side"]) for row in rows if row["run"]] == measured
    assert {side for series, side in measured if series == "self-attention"} == {4, 8, 11}
    assert {side for series, side in measured if series in scaling.LOCAL} == {4, 8, 11, 12, 16}
    assert all((row["seconds"] is None) == (row["run"] == 0) for row in rows)
    assert [row["peak_mb"] for row in rows if not row["run"]] == pytest.approx([12**4 / 1000, 16**4 / 1000] * 2)
