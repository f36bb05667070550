"""An explorer's page, opened as a file: it answers keys, clicks and sliders with nothing behind it."""

import re

import nbformat
import numpy as np
import pytest
import torch
from driver import errors_of
from matplotlib import colormaps
from nbconvert import HTMLExporter

from lambdalab.data import load_data
from lambdalab.explorers import LambdaExplorer
from lambdalab.models import create_model

CHANGED = "before => document.querySelector('canvas').toDataURL() !== before"


@pytest.fixture(scope="module")
def explorer():
    data = load_data("digits")
    torch.manual_seed(0)
    model = create_model("lambda_resnet11_tiny", channels=1, num_classes=10)
    return LambdaExplorer(model, data.test.images[:1], like=data, head=1, pixel=(2, 3))


@pytest.fixture(scope="module")
def page(browser, explorer, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    explorer.to_html(path)
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.errors = errors_of(page)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("canvas[data-drawn]")
    yield page
    page.close()


def follows(page, act) -> list[str]:
    """Do something, wait for another picture, and return the head, row and column it belongs to."""
    before = page.evaluate("() => document.querySelector('canvas').toDataURL()")
    act()
    page.wait_for_function(CHANGED, arg=before, timeout=5_000)
    return page.get_attribute("canvas", "data-shown").split()[-3:]


def test_keys_clicks_and_sliders_are_answered(page, screenshots):
    assert page.get_attribute("canvas", "data-shown").split()[-3:] == ["1", "2", "3"]
    page.focus("canvas")
    assert follows(page, lambda: page.keyboard.press("ArrowDown")) == ["1", "3", "3"]
    assert follows(page, lambda: page.locator("canvas").click(position={"x": 5, "y": 28})) == ["1", "0", "0"]
    for name, expected in (("row", ["1", "1", "0"]), ("column", ["1", "1", "1"]), ("head", ["2", "1", "1"])):
        page.get_by_role("slider", name=name).focus()
        assert follows(page, lambda: page.keyboard.press("ArrowRight")) == expected
    follows(page, lambda: page.get_by_label("scale of its own").check())
    page.screenshot(path=screenshots / "7-page-without-kernel.png")


def test_colours_and_numbers_are_the_views(page, explorer):
    """At some cells: the canvas has matplotlib's colour of the number, and says the number."""
    page.get_by_label("scale of its own").uncheck()
    for name, value in (("head", "1"), ("row", "2"), ("column", "3")):
        page.get_by_role("slider", name=name).fill(value)
    for part, left in enumerate((184, 368, 552)):  # where each map begins, and 21 pixels a cell
        for row, column in ((0, 0), (7, 2), (5, 6)):
            place = {"x": left + 21 * column + 10, "y": 20 + 21 * row + 10}
            page.locator("canvas").hover(position=place)
            page.get_by_text(f"weights on row {row}, column {column}").wait_for(timeout=5_000)
            said = page.locator("[aria-live]").text_content().replace("−", "-")
            numbers = [float(number) for number in re.findall(r"[a-z] ([-+][\d.e+-]+)", said)]
            expected = [each[row, column] for each in explorer.view.maps]
            assert np.allclose(numbers, expected, atol=1e-4 * explorer.view.limits[0], rtol=5e-3)
            script = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]"
            colour = page.locator("canvas").evaluate(script, [place["x"] + 4, place["y"] + 4])
            share = expected[part] / explorer.view.limits[0]
            wanted = colormaps["RdBu_r"](round((share + 1) * 127.5), bytes=True)
            assert np.abs(np.subtract(colour, wanted, dtype=int)).max() <= 8  # a colour beside it, by rounding


def test_the_canvas_says_what_it_is_and_what_is_shown(page):
    name = page.locator("canvas").get_attribute("aria-label")
    assert "Arrow keys move the query" in name and "head" in name
    page.locator("canvas").hover(position={"x": 300, "y": 100})
    page.get_by_text("weights on row").wait_for(timeout=5_000)
    page.locator("canvas").hover(position={"x": 300, "y": 260})
    page.get_by_text("λ content").wait_for(timeout=5_000)


def test_nothing_is_asked_for_and_nothing_goes_wrong(page):
    assert page.errors == [] and [url for url in page.asked if not url.startswith("file:")] == []


def test_a_notebook_turned_into_html_still_answers(browser, explorer, tmp_path):
    bundle = {"text/html": explorer.embed().data}
    cell = nbformat.v4.new_code_cell("explorer.embed()", outputs=[nbformat.v4.new_output("display_data", bundle)])
    body, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    (tmp_path / "notebook.html").write_text(body, encoding="utf-8")
    page = browser.new_page()
    page.route("http*://**", lambda route: route.abort())  # nbconvert's own scripts
    page.goto((tmp_path / "notebook.html").as_uri())
    frame = page.frame_locator("iframe[title=explorer]")
    frame.get_by_role("slider", name="row").press("ArrowRight")
    frame.get_by_text("query at row 3, column 3").wait_for(timeout=5_000)
    page.close()
