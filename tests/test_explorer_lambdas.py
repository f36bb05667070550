"""The lambda explorer without a kernel: set what a hand or a browser would set, and see the numbers that are sent."""

from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib import colormaps, pyplot
from PIL import Image

from lambdalab.capture import capture_lambdas
from lambdalab.data import load_data
from lambdalab.errors import UserError
from lambdalab.explorers import LambdaExplorer
from lambdalab.explorers.canvas import FULL, colour_table, encode
from lambdalab.explorers.view import View, draw_view
from lambdalab.inputs import InputFormat
from lambdalab.models import create_model

DATA = load_data("digits")
GREY = InputFormat.like(DATA)


def make_model(name="lambda_resnet11_tiny", channels=1, **changes):
    torch.manual_seed(0)
    return create_model(name, channels=channels, num_classes=10, **changes).eval()


def make(model=None, count=3, **options) -> LambdaExplorer:
    return LambdaExplorer(model or make_model(), DATA.test.images[:count], **({"like": DATA} | options))


@pytest.fixture(scope="module")
def shared() -> LambdaExplorer:
    return make()


def decoded(canvas) -> list[np.ndarray]:
    """What the browser makes of a frame: content and position of the maps and of the lambdas."""
    counts, parts = np.frombuffer(canvas.frame, "<i2"), []
    for shape, limit in zip((canvas.grid, canvas.depths), canvas.limits, strict=True):
        for _ in range(2):
            part, counts = counts[: np.prod(shape)], counts[np.prod(shape) :]
            parts.append(part.reshape(shape) * (limit / FULL))
    assert not len(counts)
    return parts


def test_what_is_sent_makes_the_layers_output(shared):
    """Σ_m a_nm V_m of the maps, and λ_nᵀ q_n of the lambdas, are both the output of the layer for this query."""
    with capture_lambdas(shared.model) as record, torch.no_grad():
        shared.model(DATA.normalise(DATA.test.images[:1]))
    shared.picture.value = "0"
    for layer in shared.record.layers:
        shared.layer.value, captured = layer, record[layer]
        shared.head.value, shared.row.value, shared.column.value = 2, 1, 1
        expected = captured.output[0, 2, captured.size[1] + 1].numpy()
        content, position, content_lambda, position_lambda = decoded(shared.canvas)
        by_weights = (content + position).reshape(-1) @ captured.values[0, :, 0].numpy()
        by_lambda = (content_lambda + position_lambda).T @ shared.view.query
        scale = np.abs(expected).max()
        assert np.allclose(by_weights, expected, atol=2e-2 * scale)  # of 16 bits, summed over the context
        assert np.allclose(by_lambda, expected, atol=2e-2 * scale)


@pytest.mark.parametrize("name", ["picture", "layer", "head", "row", "column"])
def test_each_control_changes_what_is_sent_and_back(name):
    explorer = make()
    control, canvas = getattr(explorer, name), explorer.canvas
    before, old = (canvas.frame, canvas.label, tuple(canvas.shown)), control.value
    control.value = control.options[1] if hasattr(control, "options") else 1 if old != 1 else 2
    assert canvas.frame != before[0] and (canvas.label, tuple(canvas.shown)) != before[1:]
    control.value = old
    assert (canvas.frame, canvas.label, tuple(canvas.shown)) == before


def test_what_the_browser_sets_moves_the_sliders_and_is_computed_once(shared, monkeypatch):
    shown = []
    monkeypatch.setattr(shared.canvas, "show", lambda view, *_: shown.append(view.pixel))
    shared.layer.value = shared.record.layers[0]
    shown.clear()
    shared.canvas.set_state({"row": 6, "column": 2})  # as a message from a click does
    assert (shared.row.value, shared.column.value) == (6, 2)
    assert shown == [(6, 2)]


@given(st.integers(0, 7), st.integers(0, 7))
def test_another_layer_stays_at_the_same_place_of_the_picture(shared, row, column):
    first, second = shared.record.layers[0], shared.record.layers[2]
    shared.layer.value = first
    shared.row.value, shared.column.value = row, column
    shared.layer.value = second
    assert shared.record[second].size == (4, 4) and (shared.row.max, shared.column.max) == (3, 3)
    assert shared.view.pixel == (row // 2, column // 2) == tuple(shared.canvas.shown)


def upload(explorer, name: str, *content: bytes) -> None:
    """What a message from the browser does."""
    explorer.upload._handle_custom_msg({"name": name, "size": 14_500_000}, [memoryview(each) for each in content])


def test_an_upload_is_shown_and_what_cannot_be_read_is_said_in_one_line():
    explorer, buffer = make(), BytesIO()
    Image.linear_gradient("L").save(buffer, "PNG")
    upload(explorer, "ramp.png", buffer.getvalue())
    assert explorer.picture.value == "ramp.png" and explorer.message.value == ""
    assert explorer.shown_picture[-1].mean() > 230 > 30 > explorer.shown_picture[0].mean()
    assert explorer.canvas.picture == explorer.shown_picture.tobytes()
    frame = explorer.canvas.frame
    for name, content, words in (
        ("<b>.txt", [b"words"], "&#x27;&lt;b&gt;.txt&#x27; is not a picture"),
        ("scan.tif", [], "14.5 MB"),
    ):
        upload(explorer, name, *content)
        assert words in explorer.message.value and "\n" not in explorer.message.value
        assert explorer.canvas.frame == frame and len(explorer.pictures) == 4
    Image.linear_gradient("L").rotate(90).save(buffer := BytesIO(), "PNG")
    upload(explorer, "ramp.png", buffer.getvalue())  # another file of that name takes its place
    assert explorer.canvas.frame != frame and len(explorer.pictures) == 4 and explorer.message.value == ""


numbers = st.floats(-1e6, 1e6, width=32)


@given(st.data(), st.integers(1, 2), st.integers(1, 5), st.integers(1, 5))
def test_frames_hold_every_number_to_a_part_in_32767_of_the_scale(data, u, height, width):
    parts = [data.draw(arrays(np.float32, (u, height, width), elements=numbers)) for _ in range(2)]
    lambdas = [data.draw(arrays(np.float32, (3, 2), elements=numbers)) for _ in range(2)]
    view = View("layer", 0, (0, 0), *parts, *lambdas, np.zeros(3, np.float32))
    counts = np.frombuffer(encode(view), "<i2").astype(int)
    size = height * width
    content, position = counts[:size], counts[size : 2 * size]
    assert abs(content + position).max() <= FULL + 1
    for sent, part in ((content, parts[0]), (position, parts[1])):
        exact = part.astype(float).sum(axis=0).ravel()
        assert np.allclose(sent * view.limits[0] / FULL, exact, atol=view.limits[0] / FULL + 1e-30)


def test_colours_are_the_figures_signed_ones():
    table = np.frombuffer(colour_table(), np.uint8).reshape(256, 3)
    assert (table == np.array([colormaps["RdBu_r"](i, bytes=True)[:3] for i in range(256)])).all()
    assert table[0].argmax() == 2 and table[255].argmax() == 0 and table[127:129].min() > 240


def test_save_writes_figures_and_arrays(shared, tmp_path):
    files = shared.save(tmp_path / "made" / "here")
    assert [path.suffix for path in files] == [".png", ".svg", ".npz"] and all(path.is_file() for path in files)
    assert Image.open(files[0]).width > 1000 and "<svg" in files[1].read_text()[:1000]
    saved = np.load(files[2])
    assert np.array_equal(saved["content"], shared.view.content) and saved["picture"].shape == (8, 8, 3)
    assert str(saved["layer"]) == shared.layer.value and tuple(saved["pixel"]) == shared.view.pixel
    assert shared.layer.value in files[0].name


def test_save_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    explorer = make(folder=tmp_path / "file")
    for call in (explorer.save, lambda: explorer.to_html(tmp_path / "file" / "page.html")):
        with pytest.raises(UserError, match="file"):
            call()
    explorer.button.click()
    assert "cannot write into" in explorer.message.value
    explorer.folder = tmp_path / "good"
    explorer.button.click()
    assert "saved" in explorer.message.value and len(list(explorer.folder.iterdir())) == 3


@pytest.mark.parametrize("own", [False, True])
def test_the_saved_figure_is_signed_and_centred(shared, own):
    axes = draw_view(shared.view, shared.shown_picture, own).get_figure().axes
    drawn = [ax.images[0] for ax in axes[1:4] + axes[5:8]]
    parts, ends = [*shared.view.maps, *shared.view.lambdas], []
    for image, part in zip(drawn, parts, strict=True):
        low, high = image.get_clim()
        assert low == -high and np.allclose(image.get_array(), part) and image.get_cmap().name == "RdBu_r"
        ends.append(high)
    expected = [abs(part).max() for part in parts] if own else np.repeat(shared.view.limits, 3)
    assert np.allclose(ends, expected)
    pyplot.close("all")


def test_the_models_mode_and_statistics_stay():
    model = make_model().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    explorer = make(model)
    explorer.picture.value = "2"
    assert model.training and all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    expected = make_model()(DATA.normalise(DATA.test.images[2:3]))[0].softmax(dim=0)
    assert torch.allclose(explorer.probabilities, expected, atol=1e-5)
    assert f"top-1: {int(expected.argmax())} ({expected.max():.0%})" in explorer.text.value


@pytest.mark.parametrize("changes", [{"content": False}, {"position": False}, {"dim_u": 4}, {"scope": 3}])
def test_layers_of_every_kind_can_be_explored(changes):
    explorer = make(make_model(**changes))
    content, position, *_ = decoded(explorer.canvas)
    assert (abs(content).max() > 0) == changes.get("content", True)
    assert (abs(position).max() > 0) == changes.get("position", True)
    assert explorer.view.content.shape[0] == changes.get("dim_u", 1)


def test_begins_where_it_is_told_with_names_and_labels():
    model = make_model()
    explorer = LambdaExplorer(
        model, {"ramp": np.eye(20)}, like=GREY, layer="stages.0.0.residual.spatial", head=3, pixel=(7, 0)
    )
    assert (explorer.head.value, explorer.view.pixel, list(explorer.pictures)) == (3, (7, 0), ["ramp"])
    assert "class" in explorer.text.value
    labelled = LambdaExplorer(model, DATA.test.images[:2], ["a", "a"], like=DATA)
    assert labelled.picture.options == ("0: a", "1: a")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "stages.0"}, "stages.0.0"),
        ({"head": 4}, "head 4"),
        ({"pixel": (8, 0)}, "outside"),
        ({"labels": ["a"]}, "3 pictures and 1 labels"),
        ({"count": 0}, "no pictures"),
        ({"model": "resnet11_tiny"}, "no lambda layer"),
    ],
)
def test_what_cannot_be_explored_is_refused_in_one_line(options, words):
    with pytest.raises(UserError, match=words) as caught:
        make(**options | ({"model": make_model(options["model"])} if "model" in options else {}))
    assert "\n" not in str(caught.value)
