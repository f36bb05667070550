"""The terminal during a run: a kernel's progress bars and the line that says which cell is running."""

import os
import re
import select
import subprocess
import sys

import pytest
from small_notebooks import command, outputs, write_notebook

from lambdalab.terminal import KernelScreen


class Terminal:
    """A terminal that knows what progress bars use: line ends, going back, going up, erasing to the right."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0

    def isatty(self) -> bool:
        return True

    def flush(self) -> None: ...

    def write(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[AK]|[\r\n]|[^\r\n\x1b]+", text):
            line = self.lines[self.row]
            if part == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row == len(self.lines))
            elif part == "\r":
                self.column = 0
            elif part == "\x1b[A":
                self.row -= 1
            elif part == "\x1b[K":
                self.lines[self.row] = line[: self.column]
            else:
                self.lines[self.row] = line[: self.column].ljust(self.column) + part + line[self.column + len(part) :]
                self.column += len(part)

    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


def test_the_status_gives_way_to_bars_and_comes_back():
    terminal = Terminal()
    with KernelScreen(terminal, "06_train", 2) as screen:
        assert terminal.shown() == ["06_train: starting"]
        screen.start_cell()
        assert terminal.shown() == ["06_train: cell 1 of 2"]
        screen.write("\rbar 10%")
        assert terminal.shown() == ["bar 10%"]
        screen.write("\rbar 100%")
        screen.write("\n")
        assert terminal.shown() == ["bar 100%", "06_train: cell 1 of 2"]
        screen.write("\rinner bar of an epoch")
        screen.write("\r" + " " * 30 + "\r")
        assert terminal.shown() == ["bar 100%", "06_train: cell 1 of 2"]
        screen.write("no line end")
        screen.start_cell()
        assert terminal.shown() == ["bar 100%", "no line end", "06_train: cell 2 of 2"]
    assert terminal.shown() == ["bar 100%", "no line end"]


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_bar_is_seen_on_the_terminal_while_its_cell_runs(tmp_path):
    import pty

    gate = tmp_path / "gate"
    path = write_notebook(
        tmp_path / "x.ipynb",
        "import pathlib, time\nfrom tqdm import tqdm\n"
        "for _ in tqdm(range(3), desc='epoch', mininterval=0):\n"
        f"    while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)\n    time.sleep(0.01)",
    )
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        command("run", str(path), "--out", str(tmp_path / "out")), stderr=theirs, stdout=subprocess.DEVNULL
    )
    os.close(theirs)
    seen = b""
    while b"epoch:   0%" not in seen and select.select([ours], [], [], 60)[0]:
        seen += os.read(ours, 1000)  # raises when the run ends without the bar
    gate.touch()
    assert b"x: cell 1 of 1" in seen and b"epoch:   0%" in seen
    assert run.wait(timeout=60) == 0
    os.close(ours)
    saved = outputs(tmp_path / "out" / "x.ipynb")
    assert "100%" in saved and saved.count("epoch") == 1, "of a bar only its last state is kept"
