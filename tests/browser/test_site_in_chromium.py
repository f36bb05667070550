"""The site in a real browser, opened as files: nothing goes wrong, search and themes work, axe finds no barrier.

Screenshots are left in ``runs/browser``.
"""

import pytest
from driver import errors_of

READ = [  # a page of each kind
    "docs/index.html",
    "notebooks/00_start_here.html",
    "notebooks/06_train.html",
    "docs/api/training.html",
    "docs/references.html",
]
FORMULAS, EXPLORERS = "notebooks/01_from_attention_to_lambdas.html", "notebooks/03_see_the_lambdas.html"
SEARCHES = {
    "efficient attention": "notebooks/01_from_attention_to_lambdas.html",
    "receptive field": "notebooks/03_see_the_lambdas.html",
    "LambdaLayer": "docs/api/networks.html",
    "restarts": "notebooks/07_replay_the_log.html",
}
THEME = "() => document.documentElement.dataset.theme"


@pytest.fixture
def page(browser, site):
    """A page of its own, in light, whose `asked` fills with addresses and `errors` with what goes wrong."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    page = context.new_page()
    page.errors, page.asked = errors_of(page), []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("requestfailed", lambda request: page.errors.append(f"no {request.url}"))
    page.root = site.folder.as_uri()
    yield page
    context.close()


def switch_theme(page, theme: str) -> None:
    """Choose a theme from the menu."""
    page.locator(".theme-switch-button:visible").first.click()
    page.locator(f".theme-change-button[data-mode={theme}]:visible").first.click()
    assert page.evaluate(THEME) == theme
    page.wait_for_function("() => document.getAnimations().every(each => each.playState === 'finished')")


def test_every_page_opens_on_a_phone_without_an_error_and_asks_no_host(page, site):
    page.set_viewport_size({"width": 390, "height": 844})
    wide = {}
    for name in set(site.pages) - {"index.html"}:  # which leads on at once
        page.goto(f"{page.root}/{name}", wait_until="load")
        wide[name] = page.evaluate("() => document.documentElement.scrollWidth")
    assert {name: width for name, width in wide.items() if width > 390} == {}
    assert page.errors == [] and len(page.asked) > len(wide)
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


def test_the_first_page_leads_to_the_landing_page(page):
    page.goto(f"{page.root}/index.html")
    page.wait_for_url("**/docs/index.html", timeout=5_000)


def test_formulas_are_set(page, screenshots):
    page.goto(f"{page.root}/{FORMULAS}")
    page.locator("mjx-container").first.wait_for(timeout=20_000)
    page.wait_for_function("() => MathJax.startup.promise.then(() => true)")
    assert page.locator("mjx-container").count() > 10 and page.locator("mjx-merror").count() == 0
    page.locator("mjx-container[display=true]").first.scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "site-formulas.png")
    assert page.errors == []


@pytest.mark.parametrize("words", SEARCHES)
def test_search_finds_the_page(page, screenshots, words):
    page.goto(f"{page.root}/docs/index.html")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill(words)
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a")
    found.first.wait_for(timeout=10_000)
    page.wait_for_timeout(500)
    pages = [link.get_attribute("href").split("#")[0].split("?")[0] for link in found.all()]
    assert SEARCHES[words] in pages[:6]
    page.screenshot(path=screenshots / "site-search.png")
    assert page.errors == []


def test_theme_is_switched_and_kept(page, screenshots):
    page.goto(f"{page.root}/{EXPLORERS}")
    paper = "() => getComputedStyle(document.querySelector('.cell_output img')).backgroundColor"
    grounds = {}
    for theme in ("light", "dark"):
        switch_theme(page, theme)
        grounds[theme] = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        page.locator(".cell_output img").nth(2).scroll_into_view_if_needed()
        page.screenshot(path=screenshots / f"site-{theme}.png")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" and grounds["light"] != grounds["dark"]
    page.goto(f"{page.root}/{READ[0]}")
    assert page.evaluate(THEME) == "dark"


@pytest.mark.parametrize("name", READ)
def test_axe_finds_no_barrier(page, name):
    """Contrast too, of code as well, in both themes."""
    page.goto(f"{page.root}/{name}")
    for theme in ("light", "dark"):
        switch_theme(page, theme)
        page.mouse.move(700, 500)  # no tooltip is in the way
        assert barriers(page) == [], theme


def test_axe_finds_no_barrier_in_the_explorer(page):
    page.goto(f"{page.root}/{EXPLORERS}")
    frame = page.locator("iframe[title=explorer]")
    frame.scroll_into_view_if_needed()
    page.frame_locator("iframe[title=explorer]").locator("canvas[data-drawn]").wait_for(timeout=10_000)
    assert page.errors == []
    assert barriers(page, "iframe[title=explorer]") == []


def barriers(page, where: str = "html") -> list[tuple]:
    """Return what axe calls serious or critical: the rule, the element, where it is."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "preload": False}  # a page opened as a file may not read style sheets
    found = Axe().run(page, context=where, options=options).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], node["html"][:200], node["target"]) for each in grave for node in each["nodes"][:3]]
