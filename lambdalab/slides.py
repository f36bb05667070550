"""A notebook as slides: one HTML file that asks no other file and no other host for anything.

Python turns the cells into HTML. slides.js, in the page, begins a slide at each heading and fills it up to its edge, by
heights as measured in the browser: so nothing is cut off, whatever a notebook holds.
"""

import re
from html import escape
from importlib import metadata
from pathlib import Path
from string import Template

from lambdalab.errors import UserError
from lambdalab.files import atomic_write
from lambdalab.notebooks import read_notebook

MATHJAX = "sphinx-mathjax-offline"  # the distribution that carries MathJax as files
# Code is folded where it is longer than so many lines, draws a figure, or has one of these tags.
LONG = 16
UNTAUGHT = {"parameters", "check"}
EXPLORER = "<p class=live>An explorer: it answers in the notebook, where a kernel runs.</p>"
PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>
$style
</style>
<main>
$cells
</main>
<nav aria-label="slides" hidden>
  <button id="theme" aria-label="light or dark">◐</button>
  <button id="back" aria-label="previous slide">←</button>
  <output id="page"></output>
  <button id="next" aria-label="next slide">→</button>
</nav>
$mathjax
<script type="module">
$code
</script>
</html>
""")
FORMULAS = """<script>
MathJax = {tex: {inlineMath: [["$", "$"]]}, options: {enableMenu: false}, startup: {typeset: false}};
</script>
<script>%s</script>"""


def write_decks(notebooks: list[Path], out: Path) -> list[Path]:
    """Write the slides of each notebook to `out/NAME.html`, and return where they are.

    Args:
        notebooks: Executed notebooks: figures and printed lines are those stored in them.
        out: The folder, made if need be.

    Raises:
        UserError: If a file is no notebook, if formulas need MathJax and it is not installed, or if the folder
            cannot be written into.
    """
    names = {path.stem for path in notebooks}
    decks = {out / f"{path.stem}.html": make_deck(path, names) for path in notebooks}
    for path, deck in decks.items():
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(deck, encoding="utf-8")
        except OSError as error:
            message = f"cannot write into the folder {out} ({error.strerror}); choose another with --out"
            raise UserError(message) from None
    return list(decks)


def make_deck(notebook: Path, decks: set[str] = frozenset()) -> str:
    """Return the slides of an executed notebook as HTML.

    Args:
        notebook: The notebook.
        decks: Names of notebooks whose slides lie beside these; a link to any other file becomes plain text.

    Raises:
        UserError: If it is no notebook, or if it has formulas and MathJax is not installed.
    """
    found = [cell for cell in read_notebook(notebook)["cells"] if "bootstrap" not in _tags(cell)]
    makers = {"markdown": _prose, "code": _code}
    cells = "\n".join(makers[cell["cell_type"]](cell) for cell in found if cell["cell_type"] in makers)
    formulas = any("$" in "".join(cell["source"]) for cell in found if cell["cell_type"] == "markdown")
    title = re.search(r"<h1[^>]*>(.*?)</h1>", cells)
    beside = Path(__file__).with_suffix
    return PAGE.substitute(
        title=title[1] if title else escape(notebook.stem),
        style=beside(".css").read_text(encoding="utf-8"),
        cells=_linked(cells, decks),
        mathjax=FORMULAS % _mathjax() if formulas else "",
        code=beside(".js").read_text(encoding="utf-8"),
    )


def _prose(cell: dict) -> str:
    from nbconvert.filters import markdown2html

    made = re.sub('<a class="anchor-link".*?</a>', "", markdown2html("".join(cell["source"])))
    return f"<div class=prose>{made}</div>"


def _code(cell: dict) -> str:
    from nbconvert.filters import Highlight2HTML

    source = "".join(cell["source"])
    lines, outputs = source.count("\n") + 1, "".join(map(_output, cell["outputs"]))
    code, untaught = Highlight2HTML()(source), UNTAUGHT & _tags(cell)
    if untaught or lines > LONG or "<img" in outputs:
        summary = ", ".join(["Code", *untaught, f"{lines} lines" if lines > 1 else "1 line"])
        code = f"<details><summary>{summary}</summary>{code}</details>"
    return f"<div class=code>{code}{outputs}</div>"


def _tags(cell: dict) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def _output(output: dict) -> str:
    """Return the richest form of an output that a page without a kernel can show."""
    from nbconvert.filters import ansi2html, markdown2html

    if output["output_type"] == "error":
        return f"<pre class=output>{escape(output['ename'])}: {escape(output['evalue'])}</pre>"
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "application/vnd.jupyter.widget-view+json" in data:
        return EXPLORER
    if "image/png" in data:
        alt = output["metadata"].get("image/png", {}).get("alt", "")
        return f'<img alt="{escape(alt)}" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    for kind, as_html in (("text/html", str), ("text/markdown", markdown2html)):
        if kind in data:
            return f"<div class=html>{as_html(''.join(data[kind]))}</div>"
    return f"<pre class=output>{ansi2html(''.join(data['text/plain']).rstrip())}</pre>"


def _linked(html: str, decks: set[str]) -> str:
    """Let links to notebooks lead to their slides, where there are some, and take other relative links out."""

    def link(found: re.Match) -> str:
        name = Path(found[1]).stem
        return f'<a href="{name}.html">{found[2]}</a>' if name in decks else found[2]

    return re.sub(r'<a href="(?!https?:)([^"]*)">(.*?)</a>', link, html, flags=re.DOTALL)


def _mathjax() -> str:
    try:
        script = metadata.distribution(MATHJAX).locate_file(f"{MATHJAX}/static/mathjax/tex-svg.js")
        return Path(script).read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError):
        raise UserError(f"the slides' formulas need MathJax, which is not here; pip install {MATHJAX}") from None
