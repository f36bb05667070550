"""Figures of the lambda layer: what is drawn is what was given, and every axis says what it is."""

import matplotlib
import pytest
import torch

from lambdalab import figures
from lambdalab.figures import layer

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def panels(axes) -> list:
    """The figure's panels without its colour bars."""
    return [ax for ax in axes.get_figure().axes if ax.get_label() != "<colorbar>"]


def drawn() -> dict:
    """Every figure of the module, once."""
    torch.manual_seed(0)
    maps = (torch.rand(5, 6), torch.randn(5, 6))
    norms, shares = {"γ = 1": [1e5, 1e6], "γ = 0": [8.0, 9.0]}, {"γ = 1": [0.1, 0.9], "γ = 0": [0.1, 0.2]}
    return {
        "plot_two_ways": layer.plot_two_ways(
            torch.randint(256, (3, 4, 4), dtype=torch.uint8), torch.rand(16, 16), torch.randn(4, 2)
        ),
        "plot_softmax_effect": layer.plot_softmax_effect([4, 16], {"with": [1.0, 1.0], "without": [2.0, 4.0]}),
        "plot_embedding_rows": layer.plot_embedding_rows(torch.randn(12, 12), [(0, 0), (2, 3)], (3, 4)),
        "plot_shift": layer.plot_shift(maps, maps),
        "plot_reading_orders": layer.plot_reading_orders({"one": torch.arange(6).reshape(2, 3)}),
        "plot_first_step": layer.plot_first_step(norms, shares, batch=32),
        "plot_accuracies": layer.plot_accuracies({"a": [0.1, 0.2], "b": [1.0, 1.0]}, chance=0.125),
    }


def test_every_figure_is_exported_titled_and_labelled():
    made = drawn()
    assert set(made) == {name for name in vars(layer) if name.startswith("plot_")} - {"plot_matrix"}
    for name, axes in made.items():
        assert name in figures.__all__ and getattr(figures, name) is getattr(layer, name)
        for ax in panels(axes):
            assert ax.get_title(), name
            assert not len(ax.get_yticks()) or ax.get_ylabel(), name


def test_embedding_rows_show_each_querys_row_under_a_mark_at_the_query():
    pairs = torch.randn(12, 12)
    for ax, (row, column) in zip(
        panels(layer.plot_embedding_rows(pairs, [(0, 1), (2, 3)], (3, 4))), [(0, 1), (2, 3)], strict=True
    ):
        shown = torch.as_tensor(ax.images[0].get_array().data)
        assert torch.equal(shown, pairs[row * 4 + column].reshape(3, 4))
        assert [line.get_xydata().tolist() for line in ax.lines] == [[[column, row]]]
        limit = pairs.abs().max().item()
        assert ax.images[0].get_clim() == pytest.approx((-limit, limit))


def test_a_shift_is_drawn_with_one_scale():
    picture, small, large = torch.rand(4, 4), torch.randn(4, 4), 9 * torch.ones(4, 4)
    images = [ax.images[0] for ax in panels(layer.plot_shift((picture, large), (picture, small)))]
    for image, given in zip(images, (picture, large, picture, small), strict=True):
        assert torch.equal(torch.as_tensor(image.get_array().data), given)
    assert images[1].get_clim() == images[3].get_clim() == (-9, 9)


def test_reading_orders_hatch_exactly_the_channels_that_moved():
    channels = torch.arange(6)
    orders = {"(u, v)": channels.reshape(2, 3), "(v, u)": channels.reshape(3, 2).T}
    right, wrong = panels(layer.plot_reading_orders(orders))
    assert [bool(box.get_hatch()) for box in right.patches] == [False] * 6
    assert [bool(box.get_hatch()) for box in wrong.patches] == [False, True, True, True, True, False]
    assert [text.get_text() for text in wrong.texts] == ["0", "2", "4", "1", "3", "5"]
    first, second = right.patches[0].get_facecolor(), right.patches[5].get_facecolor()
    copies = [box.get_facecolor() for box in wrong.patches]
    assert copies == [first, first, second, first, second, second]


def test_first_step_draws_every_seed_every_block_and_the_even_share():
    norms, shares = {"a": [1e5, 1e6], "b": [8.0]}, {"a": [0.25, 0.5, 1.0], "b": [0.1, 0.1, 0.2]}
    left, right = panels(layer.plot_first_step(norms, shares, batch=50))
    assert [line.get_ydata().tolist() for line in left.lines] == [[1e5, 1e6], [8.0]] and left.get_yscale() == "log"
    assert right.lines[0].get_ydata().tolist() == [25, 50, 100] and right.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert list(right.lines[2].get_ydata()) == [2, 2]


def test_accuracies_are_means_with_standard_deviations_and_a_dot_a_seed():
    ax = layer.plot_accuracies({"a": [0.2, 0.4], "b": [1.0, 1.0]}, chance=0.125)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([30, 100])
    dots = [line.get_ydata() for line in ax.lines if line.get_marker() == "o"]
    assert [list(each) for each in dots] == [pytest.approx([20, 40]), pytest.approx([100, 100])]
    low, high = ax.collections[0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((30 - 200**0.5, 30 + 200**0.5))
    assert "2 seeds" in ax.get_title() and "12.5%" in ax.get_legend().get_texts()[0].get_text()


def test_one_seed_has_no_spread():
    ax = layer.plot_accuracies({"a": [0.2]}, chance=0.5)
    assert "1 seed" in ax.get_title()
    low, high = ax.collections[0].get_segments()[0][:, 1]
    assert low == high
