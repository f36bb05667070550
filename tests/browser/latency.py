"""How long a new picture takes after a key press and after a click, in JupyterLab: median and p90.

    python tests/browser/latency.py [presses]

The time runs from the event in the page to the frame in which the canvas was drawn anew: browser, server, kernel and
back. Of 224×224 pictures a 56×56 map is explored, the largest of lambda_resnet26.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from driver import HOW_TO, chromium, find_chromium, jupyterlab, run_notebook, write_notebook

CELLS = (
    "import torch\n"
    "from lambdalab.explorers import LambdaExplorer\n"
    "from lambdalab.inputs import InputFormat, sample_pictures\n"
    "from lambdalab.models import create_model\n"
    "model = create_model('lambda_resnet26')\n"
    "form = InputFormat(3, (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))",
    "LambdaExplorer(model, sample_pictures(), like=form)",
)
# An event's own time stamp is when the browser got it; the canvas is marked in the frame in which it is drawn.
WATCH = """canvas => {
  window.times = [];
  let start = null;
  for (const kind of ["keydown", "pointerdown"])
    canvas.addEventListener(kind, (event) => { start = event.timeStamp; }, true);
  let shown = canvas.dataset.shown;
  new MutationObserver(() => {
    if (start === null || canvas.dataset.shown === shown) return;
    shown = canvas.dataset.shown;
    window.times.push(performance.now() - start);
    start = null;
  }).observe(canvas, { attributes: true });
}"""


def measure(page, canvas, act, count: int) -> list[float]:
    """Do something ``count`` times, each time waiting for its new picture; return the milliseconds."""
    page.evaluate("() => { window.times = []; }")
    for index in range(count):
        act(index)
        page.wait_for_function("count => window.times.length > count", arg=index, timeout=10_000)
        page.wait_for_timeout(60)  # a hand's pause, so that one press does not wait for the last
    return page.evaluate("() => window.times")


def report(name: str, times: list[float]) -> None:
    """Print median and p90 of some milliseconds."""
    p90 = statistics.quantiles(times, n=10)[-1]
    print(f"{name}: median {statistics.median(times):.0f} ms, p90 {p90:.0f} ms ({len(times)} times)")


def main(count: int) -> None:
    """Measure both, or say how to get a browser."""
    executable = find_chromium()
    if executable is None:
        sys.exit(HOW_TO)
    with tempfile.TemporaryDirectory() as folder, chromium(executable) as browser:
        root, private = Path(folder, "notebooks"), Path(folder, "private")
        root.mkdir()
        private.mkdir()
        write_notebook(root / "latency.ipynb", *CELLS)
        with jupyterlab(root, private) as address:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            run_notebook(page, address, "latency.ipynb")
            canvas = page.locator("canvas[role=application]").first
            canvas.wait_for(timeout=30_000)
            canvas.evaluate(WATCH)
            canvas.focus()
            keys = ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp")
            measure(page, canvas, lambda index: page.keyboard.press(keys[index % 4]), 8)  # to warm up
            report(
                "key press → new picture",
                measure(page, canvas, lambda index: page.keyboard.press(keys[index // 5 % 4]), count),
            )
            places = [(10 + 37 * index % 150, 30 + 53 * index % 150) for index in range(count)]
            report(
                "click → new picture",
                measure(page, canvas, lambda i: canvas.click(position=dict(zip("xy", places[i], strict=True))), count),
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
