"""What holds for all tests: which outputs of a notebook are compared, and where GPU tests run."""

import pytest

# What text/plain or a figure's size says already, and warnings that hold the machine's paths.
NOT_COMPARED = ("text/html", "image/svg+xml", "stderr")


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
