"""Figures of runs compared: a dot a run, intervals where there are some, the front's points, one curve a row."""

import numpy as np
import pandas
import pytest
from matplotlib import pyplot

from lambdalab.comparison import Comparison
from lambdalab.figures import plot_learning_curves, plot_paired, plot_pareto, plot_seeds

NAN = float("nan")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def dots(ax, marker: str = "o") -> list[tuple[float, float]]:
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return [point for line in lines for point in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_run_is_a_dot_in_percent():
    runs = pandas.DataFrame({"group": ["a", "a", "b"], "test_top1": [0.5, 0.6, 0.7]})
    ax = plot_seeds(runs)
    assert dots(ax) == [pytest.approx(point) for point in [(50, 0), (60, 0), (70, 1)]]
    mean, *caps = dots(ax, "|")  # of a alone: a single run has no spread
    assert mean == pytest.approx((55, 0.25)) and [x for x, _ in caps] == pytest.approx([55 - 50**0.5, 55 + 50**0.5])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


def test_pairs_have_dots_a_mean_and_an_interval_if_there_is_one():
    found = Comparison("a", "conv", (0, 1, 2), (1.0, 2.0, 3.0), 2.0, 1.0, 0.5, 3.5, 0.25, (), "better")
    single = Comparison("b", "conv", (0,), (-1.0,), -1.0, NAN, NAN, NAN, NAN, (), "cannot tell")
    ax = plot_paired([found, single])
    assert dots(ax) == [(1, 0), (2, 0), (3, 0), (-1, 1)]
    assert dots(ax, "D") == [(2, 0.25), (-1, 1.25)]
    (bar,) = [collection for collection in ax.collections if len(collection.get_segments())]
    assert bar.get_segments()[0][:, 0].tolist() == [0.5, 3.5]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a − conv", "b − conv"]
    assert labels(ax) == ["better", "worse", "cannot tell"]


@pytest.mark.parametrize(("metric", "front"), [("test_top1", [(1, 50), (3, 70)]), ("test_loss", [(1, 50), (2, 40)])])
def test_the_front_joins_what_none_beats(metric, front):
    table = pandas.DataFrame({"mean": [50.0, 40, 70, 90], "sd": [1, NAN, 1, 1], "macs": [1.0, 2, 3, NAN]}, list("abcd"))
    ax = plot_pareto(table, ["macs"], metric)
    (line,) = [line for line in ax.lines if line.get_label() == "front"]
    assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == front
    assert {"a", "b", "c", "d", "front"} == set(labels(ax)) and ax.get_xscale() == "log"
    names = table.reset_index().set_index("mean")["index"]
    assert {text.get_text(): text.xy for text in ax.texts} == {names[y]: (x, y) for x, y in front}


def test_the_front_names_its_rows_and_the_legend_those_highlighted():
    table = pandas.DataFrame({"mean": [50.0, 40, 70], "sd": [1, 1, 1], "macs": [1.0, 2, 3]}, list("abc"))
    ax = plot_pareto(table, ["macs"], highlight=["b"])
    assert labels(ax) == ["front", "b", "others"] and {text.get_text() for text in ax.texts} == {"a", "c"}
    drawn = [bar.lines[0] for bar in ax.containers if bar.get_label() != "others"]
    colours = {line.get_ydata()[0]: line.get_color() for line in drawn}
    assert colours[50] == colours[70] == "0.75" != colours[40]


def test_costs_lie_side_by_side():
    table = pandas.DataFrame({"mean": [50.0], "sd": [NAN], "macs": [1.0], "parameters": [9.0]}, ["a"])
    figure = plot_pareto(table, ["parameters", "macs"]).figure
    assert [ax.get_xlabel() for ax in figure.axes] == ["parameters", "multiply-adds of a picture"]


def test_curves_are_means_with_a_band_and_grey_if_not_highlighted():
    shape = {"group": ["a", "a", "a", "a", "b"], "run": ["a0", "a1", "a0", "a1", "b0"], "epoch": [1, 1, 2, 2, 1]}
    curves = pandas.DataFrame({**shape, "val_top1": [0.2, 0.4, 0.6, 0.8, 0.1], "seconds so far": [1, 3, 2, 6, 5.0]})
    ax = plot_learning_curves(curves)
    assert dots(ax) == [pytest.approx(point) for point in [(1, 30), (2, 70), (1, 10)]] and labels(ax) == ["a", "b"]
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((20, 80))
    ax = plot_learning_curves(curves, "seconds so far", ["b"])
    assert labels(ax) == ["b", "others"] and [x for x, _ in dots(ax)] == [5]
    grey = ax.lines[0]
    assert grey.get_color() == "0.75" and np.allclose(grey.get_xdata(), [2, 4])
