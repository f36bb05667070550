"""Stopping between two training steps, never inside one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list instead of being interrupted by them; a second Ctrl-C interrupts at once.

    An interrupt in the middle of an optimiser's step would leave half-updated weights, which no checkpoint may hold.
    Outside the main thread, where Python delivers no signals, the list stays empty; a signal that the process ignores,
    as a shell's background jobs do with Ctrl-C, stays ignored.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
