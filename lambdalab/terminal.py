"""A terminal: tables, and one line shared by a notebook's progress bars and by the cell that is running."""

import shutil
from typing import TextIO

_ERASE = "\r\x1b[K"


def print_table(columns: list[str], rows: list[tuple[str, ...]]) -> None:
    """Print a table as wide as the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


class KernelScreen:
    """Shows what a kernel writes to stderr, and `06_train: cell 3 of 11` whenever that leaves the line free.

    tqdm's bars go back to the start of their own line again and again, so a second bar (papermill's, say)
    would be torn by them. The status here is written only at the start of a line, and erased before the
    kernel writes.
    """

    def __init__(self, stream: TextIO, name: str, cells: int) -> None:
        """Take the terminal's stream, the notebook's name and how many cells of code it has."""
        self.live = stream.isatty()
        self.cell = 0
        self._stream, self._name, self._cells = stream, name, cells
        self._free = True

    def __enter__(self) -> "KernelScreen":
        if self.live:
            self._show_status()
        else:
            print(f"running {self._name} ({self._cells} cells)", file=self._stream, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._put(_ERASE if self._free else "\n")

    def start_cell(self, **_: object) -> None:
        """Note that the next cell starts (nbclient's hook)."""
        self.cell += 1
        if self.live:
            self._put("" if self._free else "\n")
            self._free = True
            self._show_status()

    def write(self, text: str) -> None:
        """Show what the kernel wrote."""
        self._put((_ERASE if self._free else "") + text)
        self._free = text.endswith(("\n", "\r"))
        if self._free:
            self._show_status()

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def _show_status(self) -> None:
        where = f"cell {self.cell} of {self._cells}" if self.cell else "starting"
        status = f"{self._name}: {where}"
        self._put(_ERASE + status[: shutil.get_terminal_size().columns - 1])

    def _put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
