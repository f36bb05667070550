"""An explorer: controls, a figure that follows them, and a line of text that says the same in numbers.

Plain ipywidgets whose ``observe`` sets a picture's bytes: ``Output``, ``interact`` and ``interactive`` can hang a
notebook that papermill runs (jupyter/nbclient#312), and a picture's bytes can be tested without a kernel.
"""

from collections.abc import Callable
from io import BytesIO

import ipywidgets


class Explorer(ipywidgets.VBox):
    """Controls above a figure and a text.

    Args:
        draw: takes the controls' values by name and returns the Axes of a new figure.
        controls: widgets by the names of draw's arguments; each gets its name as its description if it has none.
        explain: takes the same values and returns HTML shown below the figure, such as the formula with the numbers
            put in; ``None``: no text.

    ``explorer.values`` are the controls' values, ``explorer.picture.value`` the figure as PNG.
    """

    def __init__(self, draw: Callable, controls: dict[str, ipywidgets.Widget], explain: Callable | None = None):
        self.draw, self.controls, self.explain = draw, controls, explain
        self.picture = ipywidgets.Image(format="png")
        self.text = ipywidgets.HTML()
        for name, control in controls.items():
            control.description = control.description or name
            control.style.description_width = "7.5em"  # Jupyter's own width cuts off "intra-depth u"
            control.observe(self._refresh, names="value")
        super().__init__([ipywidgets.VBox(list(controls.values())), self.picture, self.text])
        self._refresh()

    @property
    def values(self) -> dict:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def _refresh(self, change=None) -> None:
        self.picture.value = to_png(self.draw(**self.values))
        if self.explain is not None:
            self.text.value = self.explain(**self.values)


def to_png(axes, dpi: int = 80) -> bytes:
    """Return the figure of these Axes as a PNG, and close it."""
    from matplotlib import pyplot

    buffer = BytesIO()
    figure = axes.get_figure()
    figure.savefig(buffer, format="png", dpi=dpi)
    pyplot.close(figure)
    return buffer.getvalue()
