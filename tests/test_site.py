"""The site: built without a warning, whole, offline, and readable by those who do not see it."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import lambdalab
from lambdalab import explorers, figures
from lambdalab.errors import UserError
from lambdalab.notebooks import list_notebooks

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import citations  # noqa: E402
import library  # noqa: E402
from lectures import NOTE, TWIN, WIDGET  # noqa: E402
from repository import find_repository  # noqa: E402

LECTURES = [info.path for info in list_notebooks()]
STUDENTS = sorted((ROOT / "notebooks" / "exercises").glob("[!.]*.ipynb"))
SEEN = ("docs/", "notebooks/", "data/", "CONTRIBUTING")  # pages with a text of ours; the others are lists


def written(site) -> dict:
    """The pages that have been written, not listed."""
    return {name: page for name, page in site.pages.items() if name.startswith(SEEN)}


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_is_built_without_a_word(site):
    assert site.said.strip() == "0"


def test_each_notebook_and_each_text_has_its_page(site):
    texts = [path for path in (ROOT / "docs").rglob("*.md") if not path.parts[-2].startswith("_")]
    expected = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in (*LECTURES, *STUDENTS, *texts)}
    assert expected <= set(site.pages) and len(LECTURES) >= 9
    assert not [name for name in site.pages if "solution" in name]


def test_every_link_anchor_and_picture_leads_somewhere(site):
    broken = {name: site.broken(page) for name, page in site.pages.items()}
    assert {name: links for name, links in broken.items() if links} == {}


def test_no_page_of_a_notebook_or_text_is_an_orphan(site):
    links = {(page.path.parent / urlsplit(link).path).resolve() for page in site.pages.values() for link in page.links}
    assert [name for name, page in written(site).items() if page.path.resolve() not in links] == []


def test_no_page_asks_another_host(site):
    asked = {address for page in site.pages.values() for address in page.asked}
    assert [address for address in asked if urlsplit(address).scheme not in ("", "data")] == []
    assert [address for address in asked if address.startswith("//")] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.folder.rglob("*.css"))
    assert styles and not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", styles)


def test_figures_have_their_alternative_texts(site):
    for path in (*LECTURES, *STUDENTS):
        page = site.pages[path.relative_to(ROOT).with_suffix(".html").as_posix()]
        outputs = [output for cell in read(path)["cells"] for output in cell.get("outputs", [])]
        said = [each["metadata"]["image/png"]["alt"] for each in outputs if "image/png" in each.get("data", {})]
        assert [each["alt"] for each in page.pictures if "_images/" in each["src"]] == said, path.name


def test_all_pictures_have_words(site):
    for name, page in written(site).items():
        alts = [picture.get("alt") for picture in page.pictures]
        assert all(alt is not None and "_images/" not in alt for alt in alts), name


def test_headings_begin_with_one_and_skip_none(site):
    for name, page in written(site).items():
        assert page.headings.count(1) == 1 and page.headings[0] == 1, name
        steps = zip(page.headings, page.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), (name, page.headings)


def test_tables_are_tables(site):
    assert [name for name, page in site.pages.items() if re.search(r"\|[-–—:]+\|", page.text)] == []


def test_each_explorer_has_something_in_its_place(site):
    """A note where the widget would be, and beside it the cell that draws its first view."""
    found = 0
    for path in (*LECTURES, *STUDENTS):
        cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
        live = [i for i, cell in enumerate(cells) if any(WIDGET in each.get("data", {}) for each in cell["outputs"])]
        twins = [i for i, cell in enumerate(cells) if TWIN in cell["metadata"].get("tags", []) and cell["outputs"]]
        for index in live:
            assert any(abs(twin - index) == 1 for twin in twins), f"{path.name}: no twin beside cell {index}"
        page = site.pages[path.relative_to(ROOT).with_suffix(".html").as_posix()]
        assert page.text.count("An explorer is here") == len(live)
        assert sum(f"tag_{TWIN}" in classes for classes, _ in page.parts) == len(twins)
        assert not any("widget-view" in classes for classes, _ in page.parts)
        found += len(live)
    assert "An explorer is here" in NOTE and found >= 7


@pytest.mark.parametrize("word", ["lambda", "einsum", "fit"])
def test_the_index_knows(site, word):
    index = (site.folder / "searchindex.js").read_text(encoding="utf-8")
    assert re.search(rf'[{{,]"?{word}"?:', index)


def test_buttons_open_files_of_the_tree(site, monkeypatch):
    monkeypatch.setenv("LAMBDALAB_REPOSITORY", "someone/lambdalab")
    branch = find_repository().branch
    for path in (*LECTURES, *STUDENTS):
        name = path.relative_to(ROOT).as_posix()
        links = site.pages[name.replace(".ipynb", ".html")].links
        colab = [link for link in links if "colab" in urlsplit(link).netloc]
        binder = [link for link in links if "mybinder" in urlsplit(link).netloc]
        assert colab == [f"https://colab.research.google.com/github/someone/lambdalab/blob/{branch}/{name}"]
        assert binder == [f"https://mybinder.org/v2/gh/someone/lambdalab/{branch}?urlpath=lab/tree/{name}"]


def test_repository_is_given_or_gits_origin(monkeypatch, tmp_path):
    monkeypatch.setenv("LAMBDALAB_REPOSITORY", "a-school/lambda.lab")
    assert find_repository().name == "a-school/lambda.lab"
    monkeypatch.setenv("LAMBDALAB_REPOSITORY", "https://github.com/a/b")
    with pytest.raises(UserError, match="owner/name"):
        find_repository()
    monkeypatch.delenv("LAMBDALAB_REPOSITORY")
    monkeypatch.setattr("repository.ROOT", tmp_path)
    assert find_repository() is None
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q", "-b", "spring"], check=True)
    for address in ("git@github.com:a/b.git", "https://github.com/a/b", "https://token@github.com/a/b.git"):
        subprocess.run([*git, "config", "remote.origin.url", address], check=True)
        assert find_repository() == find_repository().__class__("a/b", "spring")
    subprocess.run([*git, "config", "remote.origin.url", "https://example.org/a/b"], check=True)
    assert find_repository() is None


def test_without_a_repository_there_are_no_buttons(monkeypatch, tmp_path):
    monkeypatch.delenv("LAMBDALAB_REPOSITORY", raising=False)
    monkeypatch.setattr("repository.ROOT", tmp_path)
    options = runpy.run_path(str(ROOT / "docs" / "conf.py"))["html_theme_options"]
    assert "launch_buttons" not in options and "repository_url" not in options


def test_what_is_no_repository_is_refused_in_a_line_before_anything_is_removed():
    recipe = re.search(r"^site: \$.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert recipe.index("repository.py") < recipe.index("rm -rf")
    command = [sys.executable, str(ROOT / "docs/_ext/repository.py")]
    environment = os.environ | {"LAMBDALAB_REPOSITORY": "https://github.com/a/b"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and "owner/name" in done.stderr


def test_the_reference_has_every_public_name(site):
    ids = {each for name, page in site.pages.items() if name.startswith("docs/api/") for each in page.ids}
    homes = [f"lambdalab.{module}.{name}" for name, module in lambdalab._HOME_OF.items()]
    packages = [
        f"lambdalab.{each.__name__.split('.')[1]}.{name}" for each in (figures, explorers) for name in each.__all__
    ]
    assert set(homes) | set(packages) <= ids


def test_each_room_that_is_met_has_a_page():
    marks = [
        re.findall(r"^<!-- modules: (.+) -->$", path.read_text(), re.M) for path in (ROOT / "docs/api").glob("*.md")
    ]
    met = [room for room in library.room_names() if library.modules_of(room)]
    assert sorted(room for rooms in marks for room in rooms) == sorted(met)


def test_each_paper_with_a_number_is_cited(site):
    sources = [*LECTURES, *(ROOT / "lambdalab").rglob("*.py")]
    numbers = {found[1] for path in sources for found in citations.NUMBER.finditer(path.read_text(encoding="utf-8"))}
    assert numbers <= set(citations.keys()) and len(numbers) > 10
    cited = [name for name, page in site.pages.items() if any("references.html#id" in link for link in page.links)]
    assert {"docs/index.html", "docs/api/networks.html", "notebooks/03_see_the_lambdas.html"} <= set(cited)


def test_no_page_holds_the_machines_paths(site):
    pattern = re.compile(rf"(?<![\w.])/(?:root|work|home|Users)/[\w.-]+|{re.escape(os.fspath(ROOT))}")
    found = {name: pattern.findall(page.path.read_text(encoding="utf-8")) for name, page in site.pages.items()}
    assert {name: paths for name, paths in found.items() if paths} == {}
