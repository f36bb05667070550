"""Slides: a deck for each notebook, in a file that needs no other, with the notebook's own figures and their words."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from small_notebooks import write_notebook

from lambdalab import cli, slides
from lambdalab.notebooks import list_notebooks

NOTEBOOKS = {info.name: info.path for info in list_notebooks()}


def call(*arguments: object):
    return CliRunner().invoke(cli.main, ["slides", *map(str, arguments)])


@pytest.fixture(scope="module")
def decks(tmp_path_factory) -> dict[str, str]:
    """All decks as `lambdalab slides` writes them, by name."""
    out = tmp_path_factory.mktemp("slides")
    result = call("--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(out / f"{name}.html") for name in NOTEBOOKS]
    return {path.stem: path.read_text(encoding="utf-8") for path in out.glob("*")}


class Page(HTMLParser):
    """A deck's elements, and the text of its styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.styles = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.styles += data if self.elements and self.elements[-1][0] == "style" else ""


def test_there_is_a_deck_for_each_notebook(decks):
    assert set(decks) == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_deck_asks_for_nothing(decks, name):
    page = Page(decks[name])
    wanted = [(tag, key, value) for tag, found in page.elements for key, value in found.items() if key in ASKING]
    assert [each for each in wanted if not each[2].startswith("data:image/png;base64,")] == []
    links = [found["href"] for tag, found in page.elements if "href" in found]
    beside = {f"{other}.html" for other in NOTEBOOKS}
    assert [link for link in links if not link.startswith("https://") and link not in beside] == []
    assert {tag for tag, found in page.elements if "href" in found} <= {"a"}
    assert not re.search(r"url\(|@import", page.styles)
    policy = next(found["content"] for tag, found in page.elements if "http-equiv" in found)
    assert policy.startswith("default-src 'none'; img-src data:;")


ASKING = {"src", "srcset", "data", "poster", "action", "background"}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_is_there_with_its_alternative_text(decks, name):
    cells = nbformat.read(NOTEBOOKS[name], as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    expected = [(output.metadata["image/png"]["alt"], output.data["image/png"].strip()) for output in outputs]
    found = [each for tag, each in Page(decks[name]).elements if tag == "img"]
    assert [(each["alt"], each["src"].partition(",")[2]) for each in found] == expected


def small(tmp_path: Path, *cells: str, **output: object) -> Path:
    path = write_notebook(tmp_path / "small.ipynb", "# Small", *cells)
    if output:
        found = json.loads(path.read_text())
        found["cells"][-1]["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": output}]
        path.write_text(json.dumps(found))
    return path


def test_links_lead_to_decks_that_are_there_and_nowhere_else(tmp_path):
    text = "# Links\n\n[one](01_x.ipynb), [two](02_y.ipynb), [home](../README.md), [far](https://arxiv.org/abs/1)"
    deck = slides.make_deck(small(tmp_path, text), {"01_x"})
    assert '<a href="01_x.html">one</a>, two, home, <a href="https://arxiv.org/abs/1">far</a>' in deck


@pytest.mark.parametrize(
    ("cell", "summary"),
    [
        ("x = 1", None),
        ("x = 1\n" * 15 + "x", None),
        ("x = 1\n" * 16 + "x", "Code, 17 lines"),
        ("# tag: check\nx = 1", "Code, check, 1 line"),
        ("# tag: bootstrap\n" + "x = 1\n" * 16 + "x", None),
    ],
)
def test_long_code_is_folded(tmp_path, cell, summary):
    found = re.findall(r"<summary>(.*?)</summary>", slides.make_deck(small(tmp_path, cell)))
    assert found == ([summary] if summary else [])


def test_an_explorer_is_named_and_markup_in_outputs_is_shown_as_it_is(tmp_path):
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "X(…)"}
    assert slides.EXPLORER in slides.make_deck(small(tmp_path, "x", **widget))
    assert "<pre class=output>&lt;b&gt;</pre>" in slides.make_deck(small(tmp_path, "x", **{"text/plain": "<b>"}))
    table = {"text/markdown": "| a |\n|---|\n| 1 |", "text/plain": "<Markdown object>"}
    assert "<th>a</th>" in slides.make_deck(small(tmp_path, "x", **table))


def test_a_notebook_that_failed_shows_where(tmp_path):
    path = small(tmp_path, "1 / 0", **{"text/plain": ""})
    found = json.loads(path.read_text())
    found["cells"].append({"cell_type": "raw", "source": "as it is", "metadata": {}})
    found["cells"][1]["outputs"] = [{"output_type": "error", "ename": "E", "evalue": "a < b", "traceback": []}]
    path.write_text(json.dumps(found))
    deck = slides.make_deck(path)
    assert "<pre class=output>E: a &lt; b</pre>" in deck and "as it is" not in deck


def test_mathjax_is_needed_for_formulas_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "MATHJAX", "no-such-distribution")
    result = call(small(tmp_path, "# A formula: $x$"), "--out", tmp_path / "out")
    line = "lambdalab: the slides' formulas need MathJax, which is not here; pip install no-such-distribution\n"
    assert (result.exit_code, result.stderr) == (2, line) and not (tmp_path / "out").exists()
    assert call(small(tmp_path, "x = 1"), "--out", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["01_from"], "unknown notebook '01_from'"),
        (["README.md"], "unknown notebook 'README.md'"),
        (["{tmp}/torn.ipynb"], "is not a readable notebook of format 4"),
        (["00", "--out", "{tmp}/torn.ipynb"], "cannot write into the folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, line):
    (tmp_path / "torn.ipynb").write_text("{")
    result = call(*(each.replace("{tmp}", str(tmp_path)) for each in arguments))
    assert result.exit_code == 2 and line in result.stderr and result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["torn.ipynb"]
