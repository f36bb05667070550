"""Figures of lambdas and of what they listen to: what is drawn is what was given, and every figure says what it is."""

import matplotlib
import pytest
import torch

from lambdalab import figures
from lambdalab.capture import Implied
from lambdalab.figures import lambdas, listening
from lambdalab.interventions import Change

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def implied(copies: int = 2) -> Implied:
    torch.manual_seed(0)
    content, position = 0.1 * torch.randn(copies, 3, 5), torch.randn(copies, 3, 5)
    return Implied(content, position, content + position)


PICTURE = torch.arange(6 * 10).reshape(1, 6, 10).to(torch.uint8)


def drawn(axes=lambda: None) -> dict:
    """Every figure of both modules, once, drawn where ``axes()`` says."""
    shares = torch.tensor([[0.01, 1.1, -0.11], [0.2, 0.7, 0.1]])
    return {
        "plot_content_lambdas": lambdas.plot_content_lambdas(torch.randn(3, 4, 2), ["a", "b", "c"], ax=axes()),
        "plot_kernels": lambdas.plot_kernels(torch.randn(4, 2, 5, 5), copy=1, ax=axes()),
        "plot_implied": lambdas.plot_implied(implied(), (2, 4), PICTURE, ax=axes()),
        "plot_each": lambdas.plot_each(torch.randn(2, 3, 5), ["head 0", "head 1"], (0, 1), ax=axes()),
        "plot_fields": lambdas.plot_fields({"one": torch.rand(5, 5), "two": torch.rand(3, 3)}, ax=axes()),
        "plot_energy": listening.plot_energy({"one": shares, "two": shares[:1]}, ax=axes()),
        "plot_changes": listening.plot_changes({"shift": Change(0.0, 0.5), "shuffle": Change(1e-7, 1.4)}, ax=axes()),
        "plot_similarity": listening.plot_similarity(torch.eye(3), "copies", ax=axes()),
        "plot_explanations": listening.plot_explanations(PICTURE, {"a": torch.randn(3, 5)}, ax=axes()),
        "plot_agreement": listening.plot_agreement({"a, b": [0.1, 0.5, float("nan")], "a, c": [-1.0]}, ax=axes()),
        "plot_without": listening.plot_without({"both": 0.9, "content alone": 0.2}, chance=0.1, ax=axes()),
    }


def test_every_figure_is_exported_and_titled():
    made = drawn()
    ours = {name for module in (lambdas, listening) for name in vars(module) if name.startswith("plot_")}
    assert set(made) == ours - {"plot_matrix", "plot_tiles"}
    for name, axes in made.items():
        module = lambdas if hasattr(lambdas, name) else listening
        assert name in figures.__all__ and getattr(figures, name) is getattr(module, name)
        assert axes.get_title() and axes.get_xlabel(), name


def test_every_figure_is_drawn_where_it_is_told():
    given = []

    def new_axes():
        given.append(figures.new_axes())
        return given[-1]

    assert all(axes is ax for axes, ax in zip(drawn(new_axes).values(), given, strict=True))


def arrays(ax) -> list:
    return [torch.as_tensor(image.get_array().data) for image in ax.images]


def words(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_implied_attention_is_drawn_with_copies_summed_on_one_scale_centred_at_zero():
    given = implied()
    ax = lambdas.plot_implied(given, (2, 4), PICTURE)
    shown = arrays(ax)
    assert torch.equal(shown[0], PICTURE.expand(3, -1, -1).permute(1, 2, 0))
    for map, part in zip(shown[1:], given, strict=True):
        assert torch.equal(map, part.sum(dim=0))
    limit = max(part.sum(dim=0).abs().max().item() for part in given)
    assert all(image.get_clim() == pytest.approx((-limit, limit)) for image in ax.images[1:])
    assert words(ax) == ["picture", "content", "position", "total"]
    alone = lambdas.plot_implied(given.summed, (2, 4), shared=False)
    for image, part in zip(alone.images, given.summed, strict=True):
        assert image.get_clim() == pytest.approx((-part.abs().max().item(), part.abs().max().item()))


def test_the_box_is_around_the_query_in_every_map_and_in_the_picture():
    ax = lambdas.plot_implied(implied(), (2, 4), PICTURE)
    boxes = [patch for patch in ax.patches if patch.get_linewidth() == 1.2]
    assert len(boxes) == len(ax.images) == 4
    for box, image in zip(boxes, ax.images, strict=True):
        left, right, bottom, top = image.get_extent()
        side = (right - left) / 5
        assert box.get_x() == pytest.approx(left + 4 * side) and box.get_y() == pytest.approx(bottom)
        assert box.get_width() == pytest.approx(side) and box.get_height() == pytest.approx(side)
        assert top - bottom == pytest.approx(3 * side)


def test_maps_stand_row_by_row_and_do_not_overlap():
    ax = lambdas.plot_tiles([torch.randn(4, 2) for _ in range(7)], list("abcdefg"), columns=3)
    corners = [(image.get_extent()[0], -image.get_extent()[3]) for image in ax.images]
    assert [sorted({x for x, _ in corners}).index(x) for x, _ in corners] == [0, 1, 2, 0, 1, 2, 0]
    assert [sorted({y for _, y in corners}).index(y) for _, y in corners] == [0, 0, 0, 1, 1, 1, 2]
    assert corners[1][0] > ax.images[0].get_extent()[1] and corners[3][1] > -ax.images[0].get_extent()[2]


def test_kernels_are_those_of_the_copy_asked_for():
    table = torch.randn(4, 2, 3, 3)
    for copy in (0, 1):
        ax = lambdas.plot_kernels(table, copy)
        assert all(torch.equal(shown, kernel) for shown, kernel in zip(arrays(ax), table[:, copy], strict=True))
        assert f"copy {copy} of 2" in ax.get_title()


def test_fields_are_shares_of_the_largest_and_say_their_mean_distance():
    field = torch.zeros(5, 5)
    field[2, 4] = 4.0
    ax = lambdas.plot_fields({"first": field})
    assert torch.equal(arrays(ax)[0], field / 4) and ax.images[0].get_clim() == (0, 1)
    assert words(ax) == ["first\nmean distance 2.0 px"]


def test_energy_shows_each_heads_shares_and_the_sign_of_what_both_do_together():
    ax = listening.plot_energy({"one": torch.tensor([[0.01, 1.1, -0.11], [0.2, 0.7, 0.1]])})
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert lines["content"] == pytest.approx([1, 20]) and lines["position"] == pytest.approx([110, 70])
    assert lines["2·content·position < 0"] == pytest.approx([11])
    assert lines["2·content·position > 0"] == pytest.approx([10])


def test_bars_and_dots_have_the_numbers_given():
    ax = listening.plot_changes({"shift": Change(0.25, 0.5), "shuffle": Change(1e-7, 1.4)})
    assert [bar.get_width() for bar in ax.patches] == [0.25, 1e-7, 0.5, 1.4]
    assert words(ax) == ["0.25", "1e-07", "0.50", "1.40"]
    ax = listening.plot_without({"both": 0.9, "content alone": 0.2}, chance=0.1)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([90, 20])
    ax = listening.plot_agreement({"a, b": [0.1, 0.5, float("nan")]})
    dots, mean = ax.lines[:2]
    assert dots.get_xdata().tolist() == pytest.approx([0.1, 0.5]) and mean.get_xdata() == pytest.approx([0.3, 0.3])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a, b (1 constant)"]


def test_explanations_have_a_scale_each_and_only_signed_ones_are_centred():
    signed, positive = torch.tensor([[-2.0, 1.0]]), torch.tensor([[3.0, 5.0]])
    ax = listening.plot_explanations(PICTURE, {"signed": signed, "positive": positive})
    assert [image.get_clim() for image in ax.images[1:]] == [(-2, 2), (3, 5)]
    assert words(ax) == ["picture", "signed\n±2", "positive\n3 … 5"]
