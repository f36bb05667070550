"""The canvas that the lambda explorer draws on: numbers go to the browser, which makes colours of them."""

from pathlib import Path

import anywidget
import numpy as np
import traitlets

from lambdalab.explorers.view import View

FULL = 32767  # what stands for a value at the scale's end, here and in canvas.js


class LambdaCanvas(anywidget.AnyWidget):
    """The picture, implied attention and lambdas of one query; keys and clicks in the browser set row and column."""

    _esm = Path(__file__).with_name("canvas.js")

    row = traitlets.Int().tag(sync=True)  # the query that is asked for
    column = traitlets.Int().tag(sync=True)
    step = traitlets.Int(1).tag(sync=True)  # how far an arrow key moves it
    picture = traitlets.Bytes().tag(sync=True)  # RGB, row by row
    picture_size = traitlets.List([1, 1]).tag(sync=True)
    frame = traitlets.Bytes().tag(sync=True)  # as encode() makes it
    limits = traitlets.List([0.0, 0.0]).tag(sync=True)  # the ends of the two scales
    grid = traitlets.List([1, 1]).tag(sync=True)  # height and width of the layer's map
    depths = traitlets.List([1, 1]).tag(sync=True)  # k, v
    own = traitlets.Bool(False).tag(sync=True)  # each map and matrix on a scale of its own
    shown = traitlets.List([0, 0]).tag(sync=True)  # the query that the frame belongs to
    label = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Bytes().tag(sync=True)

    def __init__(self, **values):
        super().__init__(colours=colour_table(), **values)

    def show(self, view: View, picture: np.ndarray, label: str) -> None:
        """Send one query's view and the picture, bytes (H, W, 3), in one message."""
        with self.hold_sync():
            self.frame, self.limits = encode(view), list(view.limits)
            self.grid, self.depths = list(view.content.shape[1:]), list(view.content_lambda.shape)
            self.shown, self.label = list(view.pixel), label
            self.picture, self.picture_size = picture.tobytes(), list(picture.shape[:2])


def colour_table() -> bytes:
    """Return 256 colours, RGB, from the most negative to the most positive: what ``figures`` uses for signed values."""
    from matplotlib import colormaps

    from lambdalab.figures.base import SIGNED

    return colormaps[SIGNED](np.arange(256), bytes=True)[:, :3].tobytes()


def encode(view: View) -> bytes:
    """Return a view's maps and lambdas, content and position of each, as little-endian 16-bit counts of limit/FULL."""
    parts = [*view.maps[:2], *view.lambdas[:2]]
    limits = np.repeat(view.limits, 2)
    counts = [np.round(part * (FULL / (limit or 1.0))) for part, limit in zip(parts, limits, strict=True)]
    return b"".join(each.astype("<i2").tobytes() for each in counts)
