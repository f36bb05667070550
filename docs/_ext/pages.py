"""Lines of a page that are made, not typed: `<!-- cards -->`, `<!-- results -->`, …, `<!-- modules: ROOM -->`."""

import re
from importlib import import_module
from pathlib import Path

from citations import cite
from docutils import nodes
from library import modules_of, room_names, users_of, where
from sphinx import addnodes

import lambdalab
from lambdalab.errors import UserError
from lambdalab.notebooks import list_notebooks
from lambdalab.paths import results_dir
from lambdalab.results import results_table


def cards(_: str) -> str:
    """Return a card for each notebook: its title, purpose and minutes, by its own metadata."""
    made = [
        f"::::{{grid-item-card}} {info.title}\n:link: /notebooks/{info.name}\n:link-type: doc\n\n{info.purpose}\n\n"
        ":::{card-footer}\n"
        f"to run {_minutes(info.minutes_run)} · to teach {_minutes(info.minutes_teach)}\n:::\n::::"
        for info in list_notebooks()
    ]
    return ":::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n\n".join(made) + "\n:::::"


def results(_: str) -> str:
    """Return the table of ``lambdalab results``."""
    try:
        return results_table(results_dir())
    except UserError:
        return "No runs have been kept in this checkout yet."


def names(_: str) -> str:
    """Return a table of the names that ``lambdalab`` itself offers, by room, each with its first line."""
    rows = []
    for room in room_names():
        for name in lambdalab.__all__:
            module = lambdalab._HOME_OF[name]
            if module in modules_of(room):
                line = (getattr(lambdalab, name).__doc__ or "").strip().splitlines()[0].replace("``", "`")
                rows.append(f"| {room} | {{py:obj}}`{name} <{where(module, name)}>` | {line} |")
    return "\n".join(["| room | name | what it is |", "|---|---|---|", *rows])


def modules(room: str) -> str:
    """Return the reference of a room: a section a module, with who uses it and all it offers."""
    return "\n\n".join(_section(module) for module in modules_of(room))


MAKERS = {"cards": cards, "results": results, "names": names, "modules": modules}
MARK = re.compile(rf"^<!-- ({'|'.join(MAKERS)})(?:: (.+?))? -->$", re.MULTILINE)


def fill(app, docname: str, source: list[str]) -> None:
    """Sphinx's ``source-read``: put what is made in the place of its mark, and cite papers."""
    if docname.startswith("docs/"):  # the README has such marks of its own, around what it holds
        source[0] = cite(MARK.sub(lambda found: MAKERS[found[1]](found[2] or ""), source[0]), "{cite}")


def unlink_folders(app, doctree: nodes.document) -> None:
    """Sphinx's ``doctree-read``: a link to a folder, which a site does not show, becomes its text."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in [*doctree.findall(addnodes.pending_xref)]:
        if link["reftype"] == "myst" and (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def repair_roles(app, page: str, template: str, context: dict, doctree) -> None:
    """Sphinx's ``html-page-context``: citations are no list items, so what holds them is no list to a screen reader."""
    context["body"] = context.get("body", "").replace('<div role="list" class="citation-list">', "<div>")


def _section(module: str) -> str:
    users = users_of(module)
    links = ", ".join(f"[{name.removeprefix('exercises/')}](/notebooks/{name}.ipynb)" for name in users)
    return (
        f"## {module}\n\n"
        + (f"Used in {links}.\n\n" if users else "")
        + f"```{{eval-rst}}\n.. automodule:: lambdalab.{module}\n   :members:\n{_reexports(module)}```"
    )


def _reexports(module: str) -> str:
    """Return the option that shows what a package offers from its own modules."""
    found = import_module(f"lambdalab.{module}")
    return "   :imported-members:\n" if hasattr(found, "__path__") and hasattr(found, "__all__") else ""


def _minutes(minutes: float | None) -> str:
    return "?" if minutes is None else f"{minutes:g} min"


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("doctree-read", unlink_folders)
    app.connect("html-page-context", repair_roles)
    return {"parallel_read_safe": True}
