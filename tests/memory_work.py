"""Pieces of work with a known need of memory, for processes that import them by name."""

import os
import signal

import torch


def allocates(megabytes: float, times: int):
    """Work that needs so many MB (of 10⁶ bytes) at once, ``times`` over, freeing them in between."""

    def work():
        for _ in range(times):
            torch.ones(round(megabytes * 1e6 / 4))

    torch.ones(2**20)  # a first call loads code
    return work


def fails():
    raise ValueError("no such work")


def dies():
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


def asks_for_too_much():
    return lambda: torch.empty(2**60, dtype=torch.uint8)
