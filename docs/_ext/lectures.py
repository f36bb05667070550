"""What a notebook needs to be read as a page: words for its figures, something in its explorers' places, links."""

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import PurePosixPath

from citations import cite
from docutils import nodes
from library import ROOT, modules_of, room_names, uses, where

from lambdalab.bootstrap import TAG as BOOTSTRAP

WIDGET = "application/vnd.jupyter.widget-view+json"
NOTE = "**An explorer is here** when the notebook runs: `make lab`, then run all cells."
TWIN = "twin"  # the tag of the cell that draws an explorer's first view once


def prepare(app, docname: str, source: list[str]) -> None:
    """Sphinx's ``source-read``: change a notebook's text before it is read; the file stays as it is."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    app.env.temp_data["alternative texts"] = alternative_texts(notebook)  # until this page is read
    notebook["cells"] = [cell for cell in notebook["cells"] if BOOTSTRAP not in cell["metadata"].get("tags", [])]
    replace_explorers(notebook["cells"])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = cite("".join(cell["source"]), "{cite}")
    last = {"cell_type": "markdown", "id": "see-also", "metadata": {}, "source": see_also(docname, notebook)}
    notebook["cells"].append(last)
    source[0] = json.dumps(notebook)


def alternative_texts(notebook: dict) -> list[tuple[str, str]]:
    """Return what ``figures.show`` says of each picture, after the name that MyST-NB gives its file, in order."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [
        (f"{sha256(b64decode(each['data']['image/png'])).hexdigest()}.png", each["metadata"]["image/png"]["alt"])
        for each in outputs
        if "alt" in each.get("metadata", {}).get("image/png", {})
    ]


def describe_figures(app, doctree: nodes.document) -> None:
    """Sphinx's ``doctree-read``: give the pictures their alternative texts; two equal ones may have two."""
    alts = app.env.temp_data.get("alternative texts", [])
    for image in doctree.findall(nodes.image):
        found = next((each for each in alts if each[0] == PurePosixPath(image["uri"]).name), None)
        if found:
            image["alt"] = found[1]
            alts.remove(found)


def drop_empty_heads(app, doctree: nodes.document) -> None:
    """Sphinx's ``doctree-read``: a table whose first row is empty, as Markdown needs one, has no head."""
    for head in [each for each in doctree.findall(nodes.thead) if not each.astext().strip()]:
        head.parent.remove(head)


def replace_explorers(cells: list[dict]) -> None:
    """Put a note where a widget would be: what it is, and where its first view is drawn."""
    twins = [index for index, cell in enumerate(cells) if TWIN in cell["metadata"].get("tags", [])]
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                below = min(twins, key=lambda twin: abs(twin - index), default=0) > index
                place = "Below" if below else "Above"
                output["data"] = {"text/markdown": f"{NOTE} {place}, the same is drawn or printed once."}


def see_also(docname: str, notebook: dict) -> str:
    """Return the page's last lines: the teacher's notes, if there are any, and the library's parts that it uses."""
    lines = []
    stem = docname.rsplit("/", 1)[-1]
    if (ROOT / "docs" / "teaching" / f"{stem}.md").is_file():
        lines.append(f"Teacher's notes: [](/docs/teaching/{stem}.md).")
    shown = {module for room in room_names() for module in modules_of(room)}
    links = [f"{{py:obj}}`{name} <{where(module, name)}>`" for module, name in uses(notebook) if module in shown]
    if links:
        lines.append(f"From the library: {', '.join(links)}.")
    return ":::{seealso}\n" + "\n\n".join(lines) + "\n:::" if lines else ""


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("source-read", prepare)
    app.connect("doctree-read", describe_figures)
    app.connect("doctree-read", drop_empty_heads)
    return {"parallel_read_safe": False}
