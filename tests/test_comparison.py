"""Differences in pairs of equal seeds, against sums by hand and SciPy; who is compared with whom; Pareto fronts."""

import math
from itertools import product
from statistics import stdev

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import make_row, make_run, make_runs
from scipy import stats

from lambdalab.comparison import Comparison, compare, paired, pareto_front, summary
from lambdalab.curves import mean_curves, reached, read_curves
from lambdalab.errors import UserError
from lambdalab.grouping import grouped
from lambdalab.queue import Source
from lambdalab.runs import read_runs

CONV = make_row("conv")
LAMBDA = make_row("lambda", "lambda_resnet11_tiny", options={"scope": 7})
shares = st.lists(st.integers(0, 10_000), min_size=2, max_size=5, unique=True).map(lambda xs: [x / 1e4 for x in xs])


def table(*results: tuple):
    """A table of runs as ``grouped`` gives it, without folders: (group, accuracies by seed, settings)."""
    same = {"data.split_seed": 0, "data.name": "made", "device": "cpu", "model.depths": [1], "model.width": 8}
    lines = [
        {"group": name, "run": f"{name}-seed{seed}", "train.seed": seed, "test_top1": top1, **same, **shape}
        for name, accuracies, shape in results
        for seed, top1 in enumerate(accuracies)
        if top1 is not None
    ]
    return pandas.DataFrame(lines)


C, L = {"model.stages": "CCC"}, {"model.stages": "LLL"}


def test_three_pairs_by_hand():
    runs = table(("conv", [0.60, 0.62, 0.61], C), ("lambda", [0.63, 0.64, 0.62], L))
    (found,), apart = compare(runs)
    assert found.differences == pytest.approx([3, 2, 1]) and found.seeds == (0, 1, 2)
    half = 4.302653 * stdev([3, 2, 1]) / math.sqrt(3)  # the table's t for two degrees of freedom, 95 %
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half))
    assert found.p == 0.25 and found.verdict == "cannot tell" and found.differs == ("stages",)
    assert str(found) == "lambda − conv: +2.00 (n = 3, -0.48 to +4.48): cannot tell"
    assert apart == {"conv": "what others are compared with"}


@settings(max_examples=40)
@given(shares, shares)
def test_a_paired_difference_is_antisymmetric_and_scipys(one, other):
    count = min(len(one), len(other))
    runs = table(("a", one[:count], L), ("b", other[:count], L))
    (there,), (back,) = (compare(runs, reference=name)[0] for name in ("b", "a"))
    assert there.differences == pytest.approx([-d for d in back.differences])
    assert there.mean == pytest.approx(-back.mean)
    assert {there.verdict, back.verdict} in ({"cannot tell"}, {"better", "worse"})
    differences = 100 * (np.array(one[:count]) - other[:count])
    if differences.std(ddof=1) > 1e-9:
        test = stats.ttest_rel(one[:count], other[:count])
        low, high = (100 * edge for edge in test.confidence_interval(0.95))
        assert [there.low, there.high] == pytest.approx([low, high], rel=1e-6, abs=1e-9)
        flips = [abs(np.mean(differences * signs)) for signs in product((1, -1), repeat=count)]
        exact = sum(flip >= abs(differences.mean()) - 1e-9 for flip in flips) / len(flips)
        assert there.p == pytest.approx(exact)


def test_only_equal_seeds_make_pairs():
    runs = table(("conv", [0.6, None, 0.62], C), ("lambda", [None, 0.7, 0.66], L))
    ((found,), _) = compare(runs)
    assert found.seeds == (2,) and found.differences == pytest.approx([4])
    assert (
        math.isnan(found.low)
        and found.verdict == "cannot tell"
        and str(found) == "lambda − conv: +4.00 (n = 1): cannot tell"
    )
    runs = table(("conv", [0.6], C), ("lambda", [None, 0.7], L))
    assert compare(runs) == ([], {"conv": "what others are compared with", "lambda": "no seed in common with conv"})


def test_less_is_better_for_a_loss():
    runs = table(("conv", [0, 0], C), ("lambda", [0, 0], L)).assign(test_loss=[1.0, 1.1, 0.5, 0.6001])
    ((found,), _) = compare(runs, "test_loss")
    assert found.mean == pytest.approx(-0.5, abs=1e-3) and found.verdict == "better"


def test_each_is_compared_with_the_convolutional_row_of_its_recipe_and_depth(tmp_path):
    longer, deeper = {"settings": {"epochs": 3}}, {"model": "resnet20_small"}
    rows = [CONV, make_row("conv_3", **longer), make_row("conv_20", **deeper), LAMBDA]
    rows += [make_row("lambda_3", "lambda_resnet11_tiny", **longer), make_row("lambda_20", "lambda_resnet20_small")]
    rows += [make_row("lambda_5", "lambda_resnet11_tiny", settings={"epochs": 5})]
    rows += [make_row("lambda_32", "lambda_resnet11_tiny", source=Source("folder", "others"))]
    runs = grouped(read_runs(make_runs(tmp_path, [(row, [0.5, 0.6]) for row in rows])))
    found, apart = compare(runs)
    assert {each.row: each.against for each in found} == {
        "lambda": "conv",
        "lambda_3": "conv_3",
        "lambda_20": "conv_20",
    }
    assert "epochs" in apart["lambda_5"] and "pictures" in apart["lambda_32"]
    _, apart = compare(runs[runs["group"] != "conv_20"])
    assert apart["lambda_20"].startswith("unlike conv in ") and "depths" in apart["lambda_20"]
    found, apart = compare(runs, reference="lambda")
    assert {each.row for each in found} == {"conv", "conv_20", "lambda_20"} and "epochs" in apart["conv_3"]
    assert apart["lambda"] == "what others are compared with"


def test_rows_of_other_pictures_are_paired_when_asked_for(tmp_path):
    stored = make_row("stored", source=Source("folder", "stored", "pictures", jpeg=75))
    true = make_row("true", source=Source("folder", "true", "pictures"))
    runs = grouped(read_runs(make_runs(tmp_path, [(true, [0.5, 0.6, 0.9]), (stored, [0.4, 0.58])])))
    found = paired(runs, "stored", "true")
    assert found.seeds == (0, 1) and found.differences == pytest.approx([-10, -2]) and found.differs == ()
    assert paired(runs, "stored", "neither") is None
    assert compare(runs, reference="true")[1]["stored"] == "unlike true in pictures"


def test_without_convolutions_there_is_nothing_to_compare_with(tmp_path):
    runs = grouped(read_runs(make_runs(tmp_path, [(LAMBDA, [0.5])])))
    assert compare(runs) == ([], {"lambda": "no convolutional row has finished"})


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"metric": "test_top"}, "did you mean 'test_top1'"),
        ({"metric": "lossless_top1"}, "has recorded lossless_top1"),
        ({"reference": "covn"}, "did you mean 'conv'"),
        ({"confidence": 95.0}, "below 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(choice, named):
    with pytest.raises(UserError, match=named) as caught:
        compare(table(("conv", [0.5], C)), **choice)
    assert "\n" not in str(caught.value)


def test_the_summary_counts_averages_and_spreads():
    runs = table(("conv", [0.6, 0.62], C), ("lambda", [0.7], L)).assign(parameters=[10, 10, 7], macs=[1, 1, np.nan])
    found = summary(runs)
    assert list(found.index) == ["conv", "lambda"] and list(found["n"]) == [2, 1]
    assert found.loc["conv", ["mean", "sd", "parameters"]].tolist() == pytest.approx([61, math.sqrt(2), 10])
    assert math.isnan(found.loc["lambda", "sd"]) and math.isnan(found.loc["lambda", "macs"])


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(points, st.booleans())
def test_the_front_has_no_dominated_point_and_leaves_out_no_other(found, unknown):
    frame = pandas.DataFrame([*found, *([(np.nan, 9)] if unknown else [])], columns=["cost", "value"], dtype=float)
    front = pareto_front(frame["cost"], frame["value"])

    def beaten(point) -> bool:
        return any(c <= point[0] and v >= point[1] and (c, v) != point for c, v in found)

    assert list(front)[: len(found)] == [not beaten(point) for point in found]
    assert not unknown or not front.iloc[-1]


def test_curves_by_epoch_and_by_cost(tmp_path):
    quick = {"epoch": [1, 2], "val_top1": [0.2, 0.4], "seconds": [9, 9], "cpu_seconds": [10, 12]}
    slow = {"epoch": [1, 2], "val_top1": [0.4, 0.8], "seconds": [9, 9], "cpu_seconds": [20, 20]}
    for seed in (0, 1):
        make_run(tmp_path, CONV, seed, 0.4, quick | {"val_top1": [0.2, 0.4 + seed / 10]})
    make_run(tmp_path, LAMBDA, 0, 0.8, slow)
    curves = read_curves(tmp_path, grouped(read_runs(tmp_path)))
    conv = mean_curves(curves).query("group == 'conv'")
    assert conv[["epoch", "n"]].values.tolist() == [[1, 2], [2, 2]]
    assert conv[["mean", "low", "high"]].to_numpy().tolist() == [[0.2] * 3, pytest.approx([0.45, 0.4, 0.5])]
    along = mean_curves(curves, along="CPU-seconds so far")
    assert list(along.query("group == 'conv'")["CPU-seconds so far"]) == [10, 22]
    found = reached(curves, 22)
    assert found["conv"] == pytest.approx(0.45) and found["lambda"] == pytest.approx(0.4)
    assert math.isnan(reached(curves, 15)["lambda"]) and reached(curves, 15)["conv"] == pytest.approx(0.2)
    make_run(tmp_path, LAMBDA, 1, 0.8, slow | {"cpu_seconds": [23, 23]})
    curves = read_curves(tmp_path, grouped(read_runs(tmp_path)))
    assert math.isnan(reached(curves, 22)["lambda"])  # one of its runs has no epoch yet


def test_old_runs_have_no_processor_seconds(tmp_path):
    make_run(tmp_path, CONV, 0, 0.4, {"epoch": [1], "val_top1": [0.2], "seconds": [9]})
    curves = read_curves(tmp_path, grouped(read_runs(tmp_path)))
    assert mean_curves(curves, along="CPU-seconds so far").empty
    assert len(mean_curves(curves, along="seconds so far")) == 1


def test_a_comparison_says_so_in_a_line():
    found = Comparison("a", "b", (0, 1), (-1.0, -1.2), -1.1, 0.14, -2.37, 0.17, 0.5, ("scope",), "cannot tell")
    assert str(found) == "a − b: -1.10 (n = 2, -2.37 to +0.17): cannot tell"
