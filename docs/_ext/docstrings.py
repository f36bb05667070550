"""The library's docstrings as Sphinx wants them: bars are absolute values, and papers are cited."""

import re

from citations import cite

LITERAL = re.compile(r"(``.+?``)")


def prepare(app, what, name, obj, options, lines) -> None:
    """Sphinx's ``autodoc-process-docstring``: change the lines in place."""
    lines[:] = [cite(escape_bars(line), ":cite:") for line in lines]


def escape_bars(line: str) -> str:
    """Return the line with the bars outside literals escaped: reStructuredText would take Σ|a| for a substitution."""
    parts = LITERAL.split(line)
    return "".join(part if LITERAL.fullmatch(part) else part.replace("|", "\\|") for part in parts)


def skip(app, what, name, obj, skipped, options) -> bool | None:
    """Sphinx's ``autodoc-skip-member``: a named tuple's fields are described where the tuple is."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", prepare)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
