"""A button that takes a picture file from the browser to the kernel."""

from collections.abc import Callable
from pathlib import Path

import anywidget

from lambdalab.errors import UserError


class PictureUpload(anywidget.AnyWidget):
    """A file button; unlike ipywidgets' it shrinks files too large to send, and leaves nothing in a saved notebook.

    Args:
        receive: called with a file's name and its bytes.
        say: called with one line where that is refused, and with "" where it is not.
    """

    _esm = Path(__file__).with_name("upload.js")

    def __init__(self, receive: Callable[[str, bytes], None], say: Callable[[str], None]):
        super().__init__()
        self._receive, self._say = receive, say
        self.on_msg(self._take)

    def _take(self, widget, file: dict, buffers: list) -> None:
        try:
            if not buffers:
                raise UserError(
                    f"'{file['name']}' has {file['size'] / 1e6:.1f} MB and is no picture that the browser can shrink; "
                    "at most 8 MB can be sent"
                )
            self._receive(file["name"], bytes(buffers[0]))
            self._say("")
        except UserError as error:
            self._say(str(error))
