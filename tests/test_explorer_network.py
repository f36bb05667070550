"""The network's figures and its explorer, without a kernel: set a control, see the picture and the numbers change."""

import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

from lambdalab.errors import UserError
from lambdalab.explorers import NetworkExplorer
from lambdalab.explorers.network import network_lines
from lambdalab.figures import plot_hybrids, plot_maps, plot_offset_use, plot_parts, plot_turns
from lambdalab.models import count_parameters, create_model, model_config
from lambdalab.shapes import parameters_by_part


@pytest.fixture(autouse=True)
def no_windows():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


CHANGES = {
    "model": "lambda_resnet101",
    "size": 32,
    "stem": "cifar",
    "stages": "CCLL",
    "dim_k": 8,
    "heads": 8,
    "dim_u": 4,
    "scope": 7,
}


def test_there_is_a_control_for_each_of_them():
    assert set(NetworkExplorer().controls) == set(CHANGES)


@pytest.mark.parametrize("control", CHANGES)
def test_a_control_changes_the_numbers_and_if_it_is_drawn_the_picture(control):
    explorer = NetworkExplorer()
    picture, text = bytes(explorer.picture.value), explorer.text.value
    assert picture.startswith(b"\x89PNG") and not pyplot.get_fignums()
    before = explorer.values[control]
    explorer.controls[control].value = CHANGES[control]
    assert explorer.values == {**NetworkExplorer().values, control: CHANGES[control]}
    drawn = control not in ("dim_k", "heads", "dim_u")
    assert (explorer.picture.value != picture) == drawn
    assert explorer.text.value != text
    explorer.controls[control].value = before
    assert (explorer.picture.value, explorer.text.value) == (picture, text)


def test_the_text_is_the_known_counts_and_shares():
    text = NetworkExplorer().text.value
    assert "14,995,592 parameters" in text and text.endswith("91.5 %")
    assert "2 lambda layers on 7×7: min(23, 2·7 − 1)² = 169 of 529 offsets" in text
    assert NetworkExplorer(size=32).text.value.endswith(
        "18,432 of 135,424 position parameters can ever get a gradient: 13.6 %"
    )
    assert "6 lambda layers on 2×2: min(23, 2·2 − 1)² = 9 of 529 offsets" in NetworkExplorer(size=32).text.value
    assert NetworkExplorer(size=32, stem="cifar").text.value.endswith("67.1 %")
    assert NetworkExplorer(stages="CCLL").text.value.startswith("15,559,736 parameters")
    convolutions = network_lines(model_config("resnet50"), 224)
    assert convolutions == ["25,557,032 parameters, 1000 classes", "no position parameters"]


@pytest.fixture(scope="module", params=["lambda_resnet50", "lambda_resnet11_tiny", "lambda_resnet18_original"])
def explorer(request):
    return NetworkExplorer(request.param, 32)


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_every_position_of_the_controls_can_be_drawn_and_counted(explorer, data):
    values = {name: data.draw(st.sampled_from(c.options), label=name) for name, c in explorer.controls.items()}
    assert explorer.draw(**values).get_title()
    pyplot.close("all")
    text, model, _ = explorer.explain(**values), values.pop("model"), values.pop("size")
    with torch.device("meta"):
        assert text.startswith(f"{count_parameters(create_model(model, **values)):,} parameters")


def test_starts_where_it_is_told_and_offers_networks_with_as_many_stages():
    explorer = NetworkExplorer("lambda_resnet11_tiny", 20, stages="CLL", scope=13, stem=None)
    expected = {"model": "lambda_resnet11_tiny", "size": 20, "stem": "cifar", "stages": "CLL", "scope": 13}
    assert {name: explorer.values[name] for name in expected} == expected
    assert list(explorer.controls["model"].options) == ["lambda_resnet11_tiny", "lambda_resnet20_small"]
    assert len(explorer.controls["stages"].options) == 8
    with pytest.raises(UserError, match="scope must be odd"):
        NetworkExplorer(scope=4)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_maps_are_drawn_to_scale_with_the_scope_around_lambda_stages_only():
    axes = plot_maps(model_config("lambda_resnet50", stages="CCLL"), 32)
    assert texts(axes)[0] == "stem\n8×8 px\n64 ch." and texts(axes)[4] == "stage 4 (L)\n1×1 px\n2048 ch."
    squares = [(patch.get_width(), patch.get_linestyle().replace("dashed", "--")) for patch in axes.patches]
    assert squares == [(8, "solid"), (8, "solid"), (4, "solid"), (2, "solid"), (23, "--"), (1, "solid"), (23, "--")]
    assert all(patch.get_width() == patch.get_height() for patch in axes.patches)
    assert axes.get_aspect() == 1 and "23×23" in axes.get_xlabel()
    low, high = axes.get_xlim()
    assert all(low <= patch.get_x() and patch.get_x() + patch.get_width() <= high for patch in axes.patches)
    assert "scope" not in plot_maps(model_config("resnet50"), 32).get_xlabel()


def test_bars_add_up_to_the_parameters():
    with torch.device("meta"):
        model = create_model("lambda_resnet50", stages="CCLL", se_ratio=4)
    places = parameters_by_part(model)
    axes = plot_parts(places)
    ends = {row: 0.0 for row in range(len(places))}  # parts of a stage lie end to end
    for patch in axes.patches:
        row = round(patch.get_y() + patch.get_height() / 2)
        ends[row] = max(ends[row], patch.get_x() + patch.get_width())
    assert [end * 1e6 for end in ends.values()] == pytest.approx([sum(parts.values()) for parts in places.values()])
    assert sum(patch.get_width() for patch in axes.patches) * 1e6 == pytest.approx(count_parameters(model))
    assert axes.get_xlim()[1] > max(patch.get_x() + patch.get_width() for patch in axes.patches)
    assert "millions" in axes.get_xlabel() and axes.yaxis_inverted()


def test_hybrids_carry_their_source():
    table = pandas.DataFrame({"stages": ["LL", "CC"], "printed": [1.5, 2.0], "counted": [1_510_000, 2_000_000]})
    axes = plot_hybrids(table.assign(top1=[70.0, 75.0]))
    assert {"LL", "CC"} < set(texts(axes)) and any("2102.08602" in text for text in texts(axes))
    assert axes.get_xlabel().endswith("[millions]") and axes.get_ylabel().endswith("[%]")


def test_offsets_that_never_occur_are_left_out():
    use = torch.zeros(5, 5)
    use[1:4, 1:4] = 0.5
    axes = plot_offset_use(use, title="2×2")
    assert axes.images[0].get_array().mask.sum() == 25 - 9 and axes.images[0].get_clim() == (0, 1)
    assert axes.images[0].get_extent() == [-2.5, 2.5, 2.5, -2.5]


def test_turns_are_marked_layer_by_layer_from_the_top():
    turns = {"one": {"first": 0.1, "second": 2.0}, "other": {"second": 4.0, "first": 1.0}}
    axes = plot_turns(turns, title="a step")
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert drawn == {"one": ([0.1, 2.0], ["first", "second"]), "other": ([1.0, 4.0], ["first", "second"])}
    assert axes.get_xscale() == "log" and axes.yaxis_inverted() and "[degrees]" in axes.get_xlabel()
