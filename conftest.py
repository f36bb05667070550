"""What holds for all tests: which outputs of a notebook are compared, where GPU tests run, hypothesis's patience."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine a slow example says nothing about the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# The exercises' sources and student versions have no outputs to compare; their solutions have.
collect_ignore_glob = ["notebooks/exercises/source/*", "notebooks/exercises/[0-9]*.ipynb"]

# What text/plain or a figure's size says already, and warnings that hold the machine's paths.
NOT_COMPARED = ("text/html", "image/svg+xml", "stderr")


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs under test, also where a shell in the background switched it off for us.

    And have them, and the notebooks, do without the compiled kernel, whatever this machine's user wishes.
    """
    os.environ.pop("LAMBDALAB_COMPILED", None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Extend what nbval leaves out of its comparison."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += NOT_COMPARED


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked ``gpu`` where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU")
