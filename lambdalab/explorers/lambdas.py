"""See the lambdas: which context a query listens to, by content and by position, live."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

import ipywidgets
import numpy as np
import torch
from torch import Tensor, nn
from traitlets import link

from lambdalab.capture import capture_lambdas
from lambdalab.errors import UserError
from lambdalab.explorers.canvas import LambdaCanvas
from lambdalab.explorers.page import embed_page, make_page, write_page
from lambdalab.explorers.upload import PictureUpload
from lambdalab.explorers.view import View, look_at, save_view
from lambdalab.inputs import InputFormat
from lambdalab.paths import runs_dir


class LambdaExplorer(ipywidgets.VBox):
    """Choose a picture, a layer, a head and a query; see the query's weights on the context and its lambdas.

    The weights are a_nm = q_n·K̄_m + q_n·E_{m−n}, by content and by position; the lambdas are those of the query's
    pixel, for y_n = λ_nᵀ q_n. A click on the picture or on a map sets the query, and so do arrow keys and sliders.

    Args:
        model: any model that ``capture_lambdas`` knows.
        pictures: whatever ``InputFormat.fit`` takes, as a sequence, or as a mapping from their names.
        labels: what to call the pictures of a sequence.
        like: what the model takes: the dataset it was trained on, or an ``InputFormat``.
        layer: the layer to begin with, by name; the first if not given.
        head: the head to begin with.
        pixel: row and column of the query to begin with; the middle of the map if not given.
        folder: where the save button writes; ``runs/lambdas`` if not given.

    ``explorer.view`` has the numbers, ``explorer.save(folder)`` writes them, ``explorer.to_html(path)`` makes a page
    that needs no kernel, and ``explorer.embed()`` puts that page into a notebook's output.

    Raises:
        UserError: no pictures, or one that cannot be read; a model without lambda layers; no such layer, head or pixel.
    """

    def __init__(
        self,
        model: nn.Module,
        pictures: Mapping | Sequence | Tensor,
        labels: Sequence[str] | None = None,
        *,
        like,
        layer: str | None = None,
        head: int = 0,
        pixel: tuple[int, int] | None = None,
        folder: str | Path | None = None,
    ):
        self.model, self.format, self.classes = model, InputFormat.like(like), getattr(like, "classes", None)
        self.folder = runs_dir() / "lambdas" if folder is None else Path(folder)
        self.pictures = fit_pictures(pictures, labels, self.format)
        self.view: View | None = None
        self._shown: tuple | None = None  # which picture, layer, head and pixel the view belongs to
        self._moving = False
        self._forward(next(iter(self.pictures)))
        self._make_controls()
        super().__init__([*self._rows(), self.canvas, self.text, self.message])
        self._start(layer, head, pixel)

    def _make_controls(self) -> None:
        wide = {"layout": {"width": "26em"}}
        self.picture = ipywidgets.Dropdown(options=list(self.pictures), description="picture", **wide)
        self.layer = ipywidgets.Dropdown(options=list(self.record.layers), description="layer", **wide)
        self.head, self.row, self.column = (
            ipywidgets.IntSlider(0, 0, 0, description=name, **wide) for name in ("head", "row", "column")
        )
        self.upload = PictureUpload(self.add, self._say)
        self.button = ipywidgets.Button(description="save", icon="download", tooltip="as PNG, SVG and npz")
        self.canvas, self.text, self.message = LambdaCanvas(), ipywidgets.HTML(), ipywidgets.HTML()

    def _rows(self) -> list[ipywidgets.HBox]:
        rows = ((self.picture, self.upload), (self.layer, self.head), (self.row, self.column, self.button))
        return [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]

    def _start(self, layer: str | None, head: int, pixel: tuple[int, int] | None) -> None:
        """Show the first view, and from then on whatever is chosen."""
        layer = layer or self.record.layers[0]
        captured = self.record[layer]
        pixel = pixel or tuple(length // 2 for length in captured.size)
        look_at(captured, layer, head, pixel)  # refuses what there is not
        self.layer.value = layer
        for name in ("row", "column"):
            link((self.canvas, name), (getattr(self, name), "value"))
        self._place(head, *pixel)
        self.head.observe(self._refresh, names="value")
        self.canvas.observe(self._refresh, names=["row", "column"])  # both are new before the first is told
        self.layer.observe(self._choose_layer, names="value")
        self.picture.observe(self._choose_picture, names="value")
        self.button.on_click(self._press_save)

    def _place(self, head: int, row: int, column: int) -> None:
        """Set the sliders, and their ends to the layer's, and only then look."""
        captured = self.record[self.layer.value]
        lengths = (captured.queries.shape[1], *captured.size)
        with self._together():
            for slider, length, value in zip(
                (self.head, self.row, self.column), lengths, (head, row, column), strict=True
            ):
                slider.max, slider.value = length - 1, value
        self._refresh()

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Look at nothing while several controls move that only together say where to look."""
        self._moving = True
        try:
            yield
        finally:
            self._moving = False

    def _forward(self, name: str) -> None:
        """Run the model on one picture, as in evaluation, and keep what its lambda layers did."""
        training, device = self.model.training, next(self.model.parameters()).device
        images = self.format.normalise(self.pictures[name][None].to(device))
        try:
            with torch.no_grad(), capture_lambdas(self.model.eval()) as self.record:
                self.probabilities = self.model(images)[0].softmax(dim=0).cpu()
        finally:
            self.model.train(training)

    def _choose_picture(self, change=None) -> None:
        if not self._moving:
            self._forward(self.picture.value)
            self._shown = None  # an upload may have the name of the one before
            self._refresh()

    def _choose_layer(self, change) -> None:
        """Stay at the same place of the picture, whatever the new map's size."""
        lengths = self.record[self.layer.value].size
        places = zip(self.view.pixel, self.view.content.shape[1:], lengths, strict=True)
        pixel = [int((place + 0.5) / before * after) for place, before, after in places]
        self._place(min(self.head.value, self.record[self.layer.value].queries.shape[1] - 1), *pixel)

    def _refresh(self, change=None) -> None:
        chosen = (self.picture.value, self.layer.value, self.head.value, self.canvas.row, self.canvas.column)
        if self._moving or chosen == self._shown:
            return
        picture, layer, head, *pixel = chosen
        self.view = look_at(self.record[layer], layer, head, tuple(pixel))
        self.canvas.show(self.view, self.shown_picture, f"{picture}, {layer}, head {head}")
        self.text.value, self._shown = self._explain(), chosen

    @property
    def shown_picture(self) -> np.ndarray:
        """The picture on display as the model sees it, bytes (H, W, 3)."""
        return self.pictures[self.picture.value].permute(1, 2, 0).expand(-1, -1, 3).numpy()

    def _explain(self) -> str:
        """Say how strong both parts are here, and what the model takes the picture for."""
        view, (height, width) = self.view, self.view.content.shape[1:]
        weights = [float(abs(part).sum()) for part in view.maps[:2]]
        outputs = [float(np.linalg.norm(part.T @ view.query)) for part in view.lambdas[:2]]
        top = int(self.probabilities.argmax())
        name = self.classes[top] if self.classes else f"class {top}"
        return (
            f"map {height}×{width}, head {view.head} of {self.head.max + 1}, k = {len(view.query)}, "
            f"v = {view.content_lambda.shape[1]} · top-1: {escape(str(name))} ({self.probabilities[top]:.0%})<br>"
            f"Σ|weight|: content {weights[0]:.3g}, position {weights[1]:.3g} · "
            f"‖λᵀq‖: content {outputs[0]:.3g}, position {outputs[1]:.3g}"
        )

    def add(self, name: str, picture) -> None:
        """Add any picture, as ``InputFormat.fit`` takes it, and show it; one of that name is replaced.

        Raises:
            UserError: if it cannot be read.
        """
        self.pictures[name] = self.format.fit(picture, f"'{name}'")
        with self._together():
            self.picture.options = [*self.pictures]  # also goes back to the first
            self.picture.value = name
        self._choose_picture()

    def save(self, folder: str | Path | None = None) -> list[Path]:
        """Write the view as PNG and SVG and its arrays as npz; the files returned are named by layer, head and pixel.

        Raises:
            UserError: if the folder cannot be written.
        """
        folder = self.folder if folder is None else Path(folder)
        return save_view(self.view, self.shown_picture, folder, self.canvas.own)

    def _press_save(self, button) -> None:
        try:
            self._say(f"saved {', '.join(map(str, self.save()))}")
        except UserError as error:
            self._say(str(error))

    def _say(self, line: str) -> None:
        self.message.value = escape(line)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page that answers keys, clicks and sliders without a kernel, and write it if a path is given.

        It holds the picture and the layer on display, their frames computed beforehand, and needs no other file. To
        stay within 2 MB it may leave out the other heads, and then pixels: the page says so.

        Raises:
            UserError: if the file cannot be written.
        """
        chosen = self.view, self.shown_picture, self.picture.value
        return write_page(make_page(self.record[self.layer.value], *chosen, own=self.canvas.own), path)

    def embed(self, height: int = 520):
        """Return ``to_html``'s page as a notebook's output: it stays alive where the notebook is only looked at."""
        return embed_page(self.to_html(), height)


def fit_pictures(pictures: Mapping | Sequence | Tensor, labels: Sequence[str] | None, form: InputFormat) -> dict:
    """Return the pictures by name as the model's bytes (C, H, W)."""
    if not isinstance(pictures, Mapping):
        names = [str(index) for index in range(len(pictures))]
        if labels is not None and len(labels) != len(pictures):
            raise UserError(f"there are {len(pictures)} pictures and {len(labels)} labels; give one label a picture")
        if labels is not None:  # a label may occur twice, a name may not
            names = [f"{index}: {label}" for index, label in enumerate(labels)]
        pictures = dict(zip(names, pictures, strict=True))
    if not pictures:
        raise UserError("there are no pictures to explore; give at least one, such as sample_pictures()")
    return {str(name): form.fit(picture, f"picture '{name}'") for name, picture in pictures.items()}
