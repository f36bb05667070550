"""What a check answers: right, or what is wrong and a hint; shown as text in a terminal, as a box in a notebook."""

from dataclasses import dataclass
from html import escape

# Blue and vermilion, which colour-blind eyes tell apart; the sign and the words say the same without them.
COLOURS = {True: "#0072B2", False: "#D55E00"}
SIGNS = {True: "✓", False: "○"}


@dataclass(frozen=True)
class Feedback:
    """A check's answer, true when the learner's answer is right, so that ``assert check_…(answer)`` grades a cell.

    Attributes:
        ok: whether the answer is right.
        message: what was found, in a sentence or two.
        example: the smallest example that shows it, as lines of text.
        hint: a nudge; empty where none is needed.
        more: the second look, which tells more.
    """

    ok: bool
    message: str
    example: str = ""
    hint: str = ""
    more: str = ""

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        lines = [f"{SIGNS[self.ok]} {self.message}", *(f"    {line}" for line in self.example.splitlines())]
        if self.hint:
            lines.append(f"  Hint: {self.hint}")
        if self.more:
            lines.append("  Still stuck? Write .more behind the check for a second hint.")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        box = f"border-left: 5px solid {COLOURS[self.ok]}; padding: 0.3em 1em; max-width: 46em"
        parts = [f"<div style='{box}'><strong>{SIGNS[self.ok]}</strong> {escape(self.message)}"]
        if self.example:
            parts.append(f"<pre style='margin: 0.6em 0; font-family: monospace'>{escape(self.example)}</pre>")
        for name, text in (("A hint", self.hint), ("Another hint", self.more)):
            if text:
                parts.append(f"<details><summary>{name}</summary>{escape(text)}</details>")
        return "".join(parts) + "</div>"


def not_written() -> Feedback:
    """Answer somebody who has not begun."""
    return Feedback(False, "Not written yet. Put your answer into the cell above, run it, and run this cell again.")
