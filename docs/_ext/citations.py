"""A paper named by its number, "arXiv 2102.08602", is cited: the number is followed by a link to the references."""

import re
from functools import cache
from pathlib import Path

NUMBER = re.compile(r"arXiv[ :](\d{4}\.\d{4,5})(\]\([^)]*\))?")


@cache
def keys() -> dict[str, str]:
    """Return the references' keys by their arXiv numbers."""
    text = (Path(__file__).resolve().parent.parent / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {re.search(r"eprint *= \{(.+?)\}", body)[1]: key for key, body in entries}


def cite(text: str, role: str) -> str:
    """Return the text with a citation after each arXiv number that is among the references.

    Args:
        text: Markdown or reStructuredText.
        role: how its language cites: "{cite}" or ":cite:".
    """
    return NUMBER.sub(lambda found: f"{found[0]} {role}`{keys()[found[1]]}`" if found[1] in keys() else found[0], text)
