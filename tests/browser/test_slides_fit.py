"""Slides in a real browser: nothing hangs over an edge or gets lost, keys turn pages, printing makes a page a slide."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from driver import errors_of, write_notebook

from lambdalab.notebooks import list_notebooks
from lambdalab.slides import write_decks

NOTEBOOKS = {info.name: info.path for info in list_notebooks()}
# Each slide, shown for a moment: how far its parts hang over it, and how much the smallest of them was shrunk.
OVERHANGS = """() => [...document.querySelectorAll("section")].map(slide => {
  document.querySelector(".shown")?.classList.remove("shown");
  slide.classList.add("shown");
  const edge = slide.getBoundingClientRect(), body = slide.querySelector(".body");
  const parts = [slide.firstChild, body, ...body.querySelectorAll("p, li, pre, table, img, svg")];
  const hang = parts.filter(each => each.checkVisibility()).map(each => each.getBoundingClientRect())
    .map(each => Math.max(edge.left - each.left, each.right - edge.right, each.bottom - edge.bottom));
  const zooms = [...body.querySelectorAll("*")].map(each => parseFloat(each.style.zoom) || 1);
  const over = [body.scrollHeight - body.clientHeight, body.scrollWidth - body.clientWidth];
  return [Math.max(...over, ...hang), Math.min(1, ...zooms)];
})"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    return {path.stem: path for path in write_decks(list(NOTEBOOKS.values()), tmp_path_factory.mktemp("slides"))}


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.errors, page.asked = errors_of(page), []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    page.close()


def read(page, path) -> None:
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_slide_fits_and_nothing_is_lost(page, decks, name):
    read(page, decks[name])
    found = page.evaluate(OVERHANGS)
    headings = re.findall(r"<h[1-3]", decks[name].read_text(encoding="utf-8"))
    assert len(found) >= len(headings) > 5
    assert [index for index, (over, _) in enumerate(found, 1) if over > 0.5] == []
    assert min(zoom for _, zoom in found) >= 0.45, "too small to be read"
    assert page.errors == [] and [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
    written = decks[name].read_text(encoding="utf-8").partition("<nav")[0]
    for tag in ("img", "pre", "table", "p", "li", "details"):
        assert page.locator(f"main {tag}").count() == len(re.findall(rf"<{tag}[ >]", written)), tag


def test_keys_and_buttons_turn_pages_and_change_the_theme(page, decks, screenshots):
    read(page, decks["01_from_attention_to_lambdas"])
    count = page.locator("section").count()

    def number() -> int:
        page.wait_for_timeout(50)
        shown, of = page.locator("#page").text_content().split(" / ")
        assert int(of) == count and page.locator("section:visible").count() == 1
        return int(shown)

    assert number() == 1
    for key, expected in [
        ("ArrowLeft", 1),
        ("ArrowRight", 2),
        (" ", 3),
        ("End", count),
        ("PageDown", count),
        ("Home", 1),
    ]:
        page.keyboard.press(key)
        assert number() == expected
    page.get_by_label("next slide").click()
    assert number() == 2 and page.url.endswith("#2")
    page.screenshot(path=screenshots / "8-slide.png")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.screenshot(path=screenshots / "9-slide-dark.png")


def test_formulas_are_drawn_and_a_small_window_shows_the_whole_slide(page, decks):
    read(page, decks["01_from_attention_to_lambdas"])
    assert page.locator("mjx-container svg").count() > 10
    assert "$" not in page.locator("main").inner_text()
    # The page hears of its new size when the browser comes to it; this listener hears after the slides' own.
    page.evaluate("() => { window.resized = new Promise(done => addEventListener('resize', () => done())) }")
    page.set_viewport_size({"width": 640, "height": 480})
    page.evaluate("() => window.resized")
    box = page.locator("section.shown").bounding_box()
    assert (round(box["width"]), round(box["height"])) == (640, 360)


def test_a_notebook_without_headings_has_slides_as_well(page, tmp_path):
    (deck,) = write_decks([write_notebook(tmp_path / "bare.ipynb", "x = 1", "x = 2")], tmp_path)
    read(page, deck)
    assert page.locator("section").count() == 1 and page.locator("pre:visible").count() == 2 and page.errors == []


def test_printing_makes_a_page_of_each_slide(page, decks):
    read(page, decks["00_start_here"])
    made = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == page.locator("section").count()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_slide_can_be_read_and_heard_by_everybody(browser, decks, theme):
    context = browser.new_context(color_scheme=theme, bypass_csp=True)  # the page's policy keeps axe out as well
    page = context.new_page()
    read(page, decks["01_from_attention_to_lambdas"])
    for number in (2, 9):  # code with what it printed, a figure
        page.evaluate(f"location.hash = '{number}'")
        page.wait_for_selector(f"section:nth-child({number}).shown")
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    context.close()
