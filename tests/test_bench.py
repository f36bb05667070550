"""The benchmark compares like with like, and its arithmetic is right; how long anything takes is never tested."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import picture, randomise, relative_error

from lambdalab import UserError
from lambdalab.bench import rounds
from lambdalab.bench.records import read_rows, write_rows
from lambdalab.bench.report import faster_peers, means, model_markdown, speed_markdown
from lambdalab.bench.rounds import compared, geometric_mean, paired_ratio, paired_rounds
from lambdalab.bench.shapes import LayerShape, choose, parse, standard_shapes
from lambdalab.bench.sides import OURS, PASSES, PEERS, check_peers, make_side
from lambdalab.layers import LambdaLayer
from lambdalab.timing import counted_macs

positive = st.floats(1e-6, 1e6)
letters = st.integers(1, 9)


# shapes


@given(letters, letters, st.tuples(letters, letters), letters, st.sampled_from([None, 1, 3, 23]), letters, letters)
def test_a_shapes_name_says_it_all(batch, depth, size, dim_u, scope, dim_k, heads):
    shape = LayerShape(batch, depth * heads, size, dim_u, scope, dim_k, heads)
    assert parse(shape.name) == shape and choose(shape.name) == [shape]


def test_the_standard_shapes():
    shapes = standard_shapes()
    local = [shape for shape in shapes if shape.scope]
    assert (len(local), len(shapes), len(set(shapes))) == (20, 26, 26)
    assert choose(None) == shapes
    assert {shape.name for shape in choose("32x32-u4,7x7")} == {
        "b32-c64-32x32-u4-r23",
        "b32-c64-32x32-u4-r7",
        "b4-c512-7x7-u1-r23",
        "b4-c512-7x7-u1-global",
    }


@pytest.mark.parametrize("wanted", ["33x33", "32x32-r9", "b0-c4-2x2-u1-r3", "b1-c6-2x2-u1-r3", "b1-c4-2x2-u1-r4"])
def test_a_shape_that_is_none_is_refused(wanted):
    with pytest.raises(UserError):
        choose(wanted)


@given(st.tuples(letters, letters), st.sampled_from([None, 1, 3, 5, 23]), st.integers(1, 4))
def test_fewest_flops_by_counting_pairs(size, scope, dim_u):
    n, k, h, v, reach = size[0] * size[1], 3, 2, 5, (scope or 99) // 2
    places = list(product(range(size[0]), range(size[1])))
    pairs = sum(abs(a - c) <= reach and abs(b - d) <= reach for (a, b), (c, d) in product(places, places))
    lambdas_first = pairs * dim_u * k * v + n * h * k * v
    maps_first = pairs * dim_u * h * k + pairs * dim_u * h * v
    rest = n * h * v * (h * k + dim_u * k + dim_u * v) + n * dim_u * k * v + n * h * k * v
    shape = LayerShape(7, h * v, size, dim_u, scope, k, h)
    assert shape.flops() == 7 * 2 * (rest + min(lambdas_first, maps_first))


# sides


@pytest.mark.parametrize("shape", standard_shapes(), ids=lambda shape: shape.name)
def test_peers_do_equal_work_or_say_so(shape):
    counts = {}
    with torch.device("meta"):
        for name in PEERS:
            side = make_side(name, shape)
            if side is not None:
                counts[name] = (counted_macs(side.layer.eval(), torch.empty(1, shape.dim, *shape.size)), side.shape)
    assert ("original" in counts) == (shape.scope is not None)
    macs, asked = counts["lambda-networks"]
    assert asked == shape
    assert all((other == macs) == (run == shape) and other <= macs for other, run in counts.values())


def copy_to(peer: torch.nn.Module, name: str, ours: LambdaLayer) -> None:
    """Give a peer our layer's weights and statistics; biases that we have not become zero."""
    weights, embedding = ours.state_dict(), ours.embedding.data
    if name == "timm":
        peer.qkv.weight.data = torch.cat([weights.pop(f"to_{letter}.weight") for letter in "qkv"])
    target = peer.state_dict()
    kernel = {"timm": "conv_lambda", "lambda-networks": "pos_conv"}[name]
    if ours.size is None:
        peer.get_submodule(kernel).weight.data = embedding.unsqueeze(4 if name == "timm" else 2)
        peer.get_submodule(kernel).bias.data.zero_()
    elif name == "timm":
        peer.pos_emb.data = embedding.squeeze(1).permute(1, 2, 0)
    else:
        peer.rel_pos_emb.data = embedding.permute(2, 3, 0, 1)
    peer.load_state_dict({key: weights[key] for key in target if key in weights}, strict=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["timm", "lambda-networks"])
@pytest.mark.parametrize(
    "text", ["b2-c8-5x6-u1-r3-k3", "b2-c8-5x5-u1-global-k3", "b2-c8-15x14-u1-r7-k5", "b2-c8-6x5-u4-r23"]
)
def test_sides_compute_the_same_function(text, name, training):
    shape = parse(text)
    ours = randomise(make_side(OURS, shape).layer.double(), seed=1)
    side = make_side(name, shape)
    if side.shape != shape:
        assert (name, side.shape.dim_u) == ("timm", 1)
        return
    copy_to(side.layer.double(), name, ours)
    x = picture(shape.batch, shape.dim, *shape.size)
    assert relative_error(ours.train(training)(x), side.layer.train(training)(x)) <= 1e-10


def test_the_original_computes_the_same_without_its_norm_on_keys():
    shape = parse("b2-c8-9x5-u1-r5")
    ours = randomise(make_side(OURS, shape).layer.double(), seed=2).eval()
    peer = make_side("original", shape).layer.double().eval()
    for norm in (peer.keys[1], ours.norm_v):  # each norms what the other does not: the identity in evaluation
        norm.reset_parameters()
        norm.running_var.fill_(1 - norm.eps)
    peer.queries[0].weight, peer.keys[0].weight, peer.values.weight = (
        layer.weight for layer in (ours.to_q, ours.to_k, ours.to_v)
    )
    peer.queries[1].load_state_dict(ours.norm_q.state_dict())
    peer.embedding = ours.embedding
    x = picture(2, 8, 9, 5)
    assert relative_error(ours(x), peer(x)) <= 1e-10


def test_who_does_not_compete():
    assert make_side("original", parse("b1-c8-4x4-u1-global")) is None
    assert make_side("lambda-networks", parse("b1-c8-4x5-u1-global")) is None
    assert check_peers(None) == list(PEERS) and check_peers("timm, original") == ["timm", "original"]


# rounds


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=20))
def test_ratio_is_the_median_of_the_rounds_ratios(pairs):
    ours, theirs = np.array(pairs).T
    expected = np.quantile(theirs / ours, [0.5, 0.25, 0.75])
    assert paired_ratio(list(ours), list(theirs)) == pytest.approx(tuple(expected))
    row = compared({"a": list(ours), "b": list(theirs)}, "a")
    assert row["b"]["ratio"] == pytest.approx(expected[0]) and row["a"]["ratio"] == 1
    assert row["b"]["seconds"] == pytest.approx(np.median(theirs)) and row["b"]["rounds"] == len(pairs)


@given(st.lists(positive, min_size=1, max_size=20))
def test_geometric_mean_treats_a_ratio_and_its_inverse_alike(ratios):
    mean = geometric_mean(ratios)
    assert mean ** len(ratios) == pytest.approx(float(np.prod(np.array(ratios, dtype=object))), rel=1e-6)
    assert geometric_mean([1 / ratio for ratio in ratios]) == pytest.approx(1 / mean)


@pytest.mark.parametrize(("repeats", "seconds", "counted"), [(4, 60, 4), (4, 0, 2), (1, 0, 1)])
def test_sides_take_turns_and_the_rehearsal_is_not_counted(monkeypatch, repeats, seconds, counted):
    calls = []
    monkeypatch.setattr(rounds, "seconds_of", lambda step, device: step() or len(calls))
    taken = paired_rounds({name: lambda name=name: calls.append(name) for name in "abc"}, repeats, seconds)
    assert [sorted(calls[i : i + 3]) for i in range(0, len(calls), 3)] == [list("abc")] * (counted + 1)
    assert calls[0] == "a" and calls[3] == "b", "another side begins each round"
    assert all(len(each) == counted and min(each) > 3 for each in taken.values())


def test_no_repeats_are_refused():
    with pytest.raises(UserError, match="repeats must be at least 1, got 0"):
        paired_rounds({}, 0)


# what was found


def row(shape, side, ratio, work="equal", context="local"):
    return {"shape": shape, "side": side, "ratio": ratio, "work": work, "context": context, "pass": "training"}


def test_means_keep_unequal_work_apart():
    rows = [row("s", OURS, 1), row("s", "timm", 2), row("t", OURS, 1), row("t", "timm", 8)]
    rows += [row("u", OURS, 1), row("u", "timm", 0.5, "less (u=1)"), row("g", "timm", 3, context="global")]
    found = means(rows)
    assert found["local", "equal"]["timm"] == pytest.approx(4) and found["local", "any"]["timm"] == pytest.approx(2)
    assert found["global", "equal"]["timm"] == pytest.approx(3) and ("global", "any") not in found


def test_the_fastest_peer_of_equal_work_is_named_where_it_is_faster():
    rows = [row("s", OURS, 1), row("s", "timm", 0.9), row("s", "original", 0.8), row("s", "lambda-networks", 2)]
    rows += [row("t", OURS, 1), row("t", "timm", 0.1, "less (u=1)"), row("t", "original", 1.5)]
    assert faster_peers(rows, "training") == [rows[2]] and faster_peers(rows, "forward") == []


@given(number=st.floats(allow_nan=False, allow_infinity=False), count=st.integers(), missing=st.none())
@settings(max_examples=20)
def test_rows_survive_csv(tmp_path_factory, number, count, missing):
    path = tmp_path_factory.mktemp("csv") / "new" / "rows.csv"
    rows = [{"shape": "b1-c8-4x4-u1-r3", "number": number, "count": count, "peak": missing}]
    write_rows(path, rows * 2)
    for found in read_rows(path):
        assert found == {**rows[0], "number": pytest.approx(number, rel=1e-5)}


def test_the_figure_has_a_dot_at_each_ratio_and_a_line_at_the_mean():
    from matplotlib import pyplot

    from lambdalab.figures import plot_peers

    rows = [row("s", OURS, 1), row("s", "timm", 2), row("t", OURS, 1), row("t", "timm", 8)]
    rows += [row("u", OURS, 1), row("u", "timm", 0.5, "less (u=1)")]
    rows = [{**each, "pass": kind, "ratio_low": 0.4, "ratio_high": 9} for each in rows for kind in PASSES]
    ax = plot_peers(rows)
    dots = [line for line in ax.lines if line.get_marker() not in ("None", None) and len(line.get_xdata())]
    assert sorted((line.get_xdata()[0], line.get_markerfacecolor() == "white") for line in dots) == [
        (0.5, True),
        (2, False),
        (8, False),
    ]
    vertical = sorted(float(line.get_xdata()[0]) for line in ax.lines if list(line.get_ydata()) == [0, 1])
    assert vertical == pytest.approx([1, 4])
    pyplot.close("all")


@pytest.mark.parametrize(
    ("marker", "markdown", "file"),
    [
        ("speed", speed_markdown, "layer.csv"),
        ("models", model_markdown, "model.csv"),
        ("speed_compiled", speed_markdown, "layer_compiled.csv"),
        ("models_compiled", model_markdown, "model_compiled.csv"),
    ],
)
def test_the_readmes_tables_are_drawn_from_the_committed_measurements(marker, markdown, file):
    root = Path(__file__).resolve().parent.parent
    readme = (root / "README.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {marker} -->\n(.*?)\n<!-- /{marker} -->", readme, re.S)
    rows = read_rows(root / "data/benchmarks" / file)
    assert shown[1] == markdown(rows)
    assert {row.get("compiled", 0) for row in rows} == {int("compiled" in marker)}


def test_model_markdown_sets_the_others_beside_the_lambda_network():
    made = {"depth": 50, "size": 32, "batch": 8, "seconds": 1.5, "peak_mb": 1234.5, "ratio": 1.0, "peak_ratio": 1.0}
    others = [("original's order", 2.5, 1.25), ("resnet", 0.5, 0.75)]
    rows = [made | {"side": "lambda"}] + [made | {"side": s, "ratio": t, "peak_ratio": m} for s, t, m in others]
    rows += [row | {"depth": 18, "ratio": 9.0} for row in rows]
    line = model_markdown(rows).splitlines()[2]
    assert line == "| LambdaResNet50 | 32×32, 8 | 1.5 | 1,234 | 2.50 ×, 1.25 × | 0.50 ×, 0.75 × |"


def test_speed_markdown_leaves_out_who_did_less_work():
    made = {"shape": "a", "context": "local", "pass": "training", "side": "timm", "work": "equal", "ratio": 4.0}
    rows = [made | {"peak_ratio": 2.0}, made | {"work": "less (u=1)", "ratio": 1.0, "peak_ratio": 1.0}]
    line = next(line for line in speed_markdown(rows).splitlines() if "backward, 1 shapes" in line)
    assert line.endswith("| – | – | 4.0 (≥ 4.00) |")
