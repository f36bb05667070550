"""The lambda explorer in a real JupyterLab: choose a layer, click a pixel, move a slider, and the picture follows.

Screenshots are left in ``runs/browser``.
"""

from pathlib import Path

import numpy as np
import pytest
from driver import errors_of, run_notebook
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = "03_see_the_lambdas.ipynb"


@pytest.fixture(scope="module")
def page(browser, lab):
    """The notebook after all its cells ran, and a list of what went wrong in the page."""
    root, address = lab
    source = ROOT / "notebooks" / NOTEBOOK
    (root / NOTEBOOK).write_bytes(source.read_bytes())
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.errors = errors_of(page)
    run_notebook(page, address, NOTEBOOK)
    explorer(page).wait_for(timeout=30_000)
    explorer(page).scroll_into_view_if_needed()
    yield page
    page.close()


def explorer(page):
    return page.locator("canvas[role=application]").first


# Both: the pointer's mark alone makes another picture of the same query.
CHANGED = """([url, shown]) => {
  const canvas = document.querySelector('canvas[role=application]');
  return canvas.dataset.shown !== shown && canvas.toDataURL() !== url;
}"""


def follows(page, act) -> None:
    """Do something and wait until the explorer shows something else, and looks otherwise."""
    before = explorer(page).evaluate("canvas => [canvas.toDataURL(), canvas.dataset.shown]")
    act()
    page.wait_for_function(CHANGED, arg=before, timeout=10_000)


def slider(page, name: str):
    labelled = page.locator(".widget-slider").filter(has=page.get_by_text(name, exact=True))
    return labelled.locator(".noUi-handle").first


def shown(page) -> str:
    return explorer(page).get_attribute("data-shown")


def wait_until_shown(page, end: str) -> None:
    ends = "end => document.querySelector('canvas[role=application]').dataset.shown.endsWith(end)"
    page.wait_for_function(ends, arg=end, timeout=10_000)


def test_another_layer_shows_another_picture(page, screenshots):
    page.screenshot(path=screenshots / "1-opened.png")
    before = shown(page)
    layers = page.get_by_label("layer", exact=True).first
    start = layers.evaluate("select => select.selectedIndex")
    follows(page, lambda: layers.select_option(index=0 if start else 1))
    assert shown(page) != before
    page.screenshot(path=screenshots / "2-another-layer.png")
    follows(page, lambda: layers.select_option(index=start))


def test_a_click_on_the_picture_sets_the_query(page, screenshots):
    follows(page, lambda: explorer(page).click(position={"x": 5, "y": 28}))
    wait_until_shown(page, " 0 0")
    page.mouse.move(0, 0)
    page.screenshot(path=screenshots / "3-clicked.png")


def test_arrow_keys_move_the_query_and_not_the_notebook(page, screenshots):
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    explorer(page).focus()
    cell = page.evaluate(active)
    follows(page, lambda: page.keyboard.press("ArrowDown"))
    follows(page, lambda: page.keyboard.press("ArrowRight"))
    wait_until_shown(page, " 1 1")
    for _ in range(3):  # at the edge the query stays
        page.keyboard.press("ArrowUp")
    wait_until_shown(page, " 0 1")
    assert page.evaluate(active) == cell
    assert page.evaluate("() => document.activeElement.tagName") == "CANVAS"


@pytest.mark.parametrize("name", ["row", "column", "head"])
def test_each_slider_changes_the_picture(page, screenshots, name):
    slider(page, name).focus()
    follows(page, lambda: page.keyboard.press("ArrowRight"))
    page.screenshot(path=screenshots / f"4-{name}.png")


def test_the_pointer_shows_numbers(page, screenshots):
    box = explorer(page).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + 40)
    page.wait_for_timeout(200)
    words = page.locator("canvas[role=application] + [aria-live]").first.text_content()
    assert "weights on row" in words and "content" in words and "total" in words
    page.screenshot(path=screenshots / "5-pointer.png")


def test_an_upload_is_shown_and_what_is_no_picture_refused(page, screenshots, tmp_path):
    def upload(path):
        page.get_by_label("your own picture").first.set_input_files(path)

    Image.linear_gradient("L").save(tmp_path / "ramp.png")
    follows(page, lambda: upload(tmp_path / "ramp.png"))
    assert "ramp.png" in shown(page)
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 10_000_000  # more than Jupyter's server takes in one message
    follows(page, lambda: upload(tmp_path / "large.png"))
    assert "large.png" in shown(page)
    (tmp_path / "notes.txt").write_text("words")
    upload(tmp_path / "notes.txt")
    page.get_by_text("'notes.txt' is not a picture that can be read").wait_for(timeout=10_000)
    page.screenshot(path=screenshots / "6-uploaded.png")


def test_nothing_went_wrong_in_the_console(page):
    """The last test of this file: what all the others have done left no error."""
    assert page.errors == []
