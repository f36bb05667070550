"""A page of one explorer that needs no kernel and no other file: its frames are computed beforehand."""

import json
from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from lambdalab.capture import Captured
from lambdalab.errors import UserError
from lambdalab.explorers.canvas import colour_table, encode
from lambdalab.explorers.view import View, look_at
from lambdalab.files import atomic_write

MOST_BYTES = 2_000_000
PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$title</title>
<style>
  body { font: 14px sans-serif; margin: 1em }
  label { margin-right: 2em }
  output { display: inline-block; min-width: 1.5em; text-align: right }
  :focus-visible { outline: 2px solid }
</style>
<h1 style="font-size: 1.2em">$title</h1>
<p>$note</p>
<p id="controls"></p>
<div id="canvas"></div>
<script type="application/json" id="data">$data</script>
<script type="module">
$code
</script>
</html>
""")


def make_page(captured: Captured, view: View, picture: np.ndarray, name: str, own: bool = False) -> str:
    """Return the page for one picture and layer, of at most ``MOST_BYTES``, as HTML.

    All heads and all queries if they fit; else the view's head alone, and then every second, third, … query.

    Args:
        captured: the layer's record; its first picture is used.
        view: where to begin.
        picture: what to show beside, bytes (H, W, 3).
        name: what the picture is called.
        own: whether each map and matrix begins on a scale of its own.
    """
    heads, step = list(range(captured.queries.shape[1])), 1
    room = 0.7 * (MOST_BYTES - 50_000) - picture.size  # base64 writes three bytes as four
    size = len(encode(view)) + 30  # a frame and its two limits
    while len(_queries(captured, step)) * len(heads) * size > room:
        heads, step = [view.head], step + (len(heads) == 1)
    views = [look_at(captured, view.layer, head, pixel) for head in heads for pixel in _queries(captured, step)]
    state = {
        "head": heads.index(view.head),
        "row": view.pixel[0],
        "column": view.pixel[1],
        "step": step,
        "own": own,
        "grid": captured.size,
        "depths": view.content_lambda.shape,
        "picture": _text(picture.tobytes()),
        "picture_size": picture.shape[:2],
        "colours": _text(colour_table()),
    }
    frames = [encode(each) for each in views]
    data = {
        "label": f"{name}, {view.layer}",
        "heads": heads,
        "size": len(frames[0]),
        "limits": [[float(f"{limit:.4g}") for limit in each.limits] for each in views],
        "frames": _text(b"".join(frames)),
        "state": state,
    }
    folder = Path(__file__).parent
    code = "\n".join((folder / file).read_text(encoding="utf-8") for file in ("canvas.js", "page.js"))
    every = "every query" if step == 1 else f"one query in {step}×{step}"
    which = f"head {view.head}" if len(heads) < captured.queries.shape[1] else "all heads"
    note = f"What a query listens to: signed weights on the context and the lambdas, {every} of {which}."
    data = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # a name must not end the script
    return PAGE.substitute(title=escape(f"{name}, {view.layer}"), note=note, data=data, code=code)


def write_page(page: str, path: str | Path | None) -> str:
    """Return the page, written to a file if a path is given.

    Raises:
        UserError: if it cannot be written.
    """
    if path is not None:
        try:
            with atomic_write(Path(path)) as temporary:
                temporary.write_text(page, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path} ({error.strerror}); choose another path") from None
    return page


def embed_page(page: str, height: int):
    """Return a notebook's output that shows the page in a frame of so many pixels."""
    from IPython.display import HTML

    style = f"width: 100%; height: {height}px; border: none; background: white"
    return HTML(f'<p></p><iframe title="explorer" style="{style}" srcdoc="{escape(page)}"></iframe>')


def _queries(captured: Captured, step: int) -> list[tuple[int, int]]:
    height, width = captured.size
    return [(row, column) for row in range(0, height, step) for column in range(0, width, step)]


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
