"""The built site as its pages say it: links, anchors, pictures, headings, texts."""

from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Elements without an end tag.
EMPTY = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]


@dataclass
class Page(HTMLParser):
    """What one page holds. `asked` is what a browser fetches to show it, `links` what a reader may follow."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pictures: list[dict] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)  # of the article; another copy is for print alone
    in_article: bool = False
    parts: list[tuple[str, str]] = field(default_factory=list)  # classes and then text, in order

    def __post_init__(self):
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found[name] for name in ("id", "name") if found.get(name) and (name == "id" or tag == "a")}
        if "href" in found:
            fetched = tag != "a" and found.get("rel") not in ("index", "search", "next", "prev")
            (self.asked if fetched else self.links).append(found["href"])
        self.asked += [found["src"]] if "src" in found else []
        if tag == "img":
            self.pictures.append(found)
        self.in_article |= tag == "article"
        if self.in_article and tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))
        if tag not in EMPTY:
            self.parts.append((found.get("class") or "", ""))

    def handle_endtag(self, tag):
        self.in_article &= tag != "article"

    def handle_data(self, data):
        self.parts.append(("", data))

    @property
    def text(self) -> str:
        """All text of the page."""
        return "".join(text for _, text in self.parts)


@dataclass(frozen=True)
class Site:
    """A folder of pages, and what was said while it was built."""

    folder: Path
    said: str

    @cached_property
    def pages(self) -> dict[str, Page]:
        """The pages by their paths in the site; `_static` and `_downloads` hold none of ours."""
        paths = [path for path in sorted(self.folder.rglob("*.html"))]
        names = {path: path.relative_to(self.folder).as_posix() for path in paths}
        return {name: Page(path) for path, name in names.items() if not name.startswith("_")}

    def broken(self, page: Page) -> list[str]:
        """Return the page's links, pictures and files that lead nowhere in the site."""
        return [address for address in page.links + page.asked if not self._leads_somewhere(page, address)]

    def _leads_somewhere(self, page: Page, address: str) -> bool:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            return parts.scheme in ("http", "https", "data", "mailto")
        target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
        if not target.is_relative_to(self.folder.resolve()) or not target.is_file():
            return False
        name = target.relative_to(self.folder.resolve()).as_posix()
        return not parts.fragment or name not in self.pages or unquote(parts.fragment) in self.pages[name].ids
