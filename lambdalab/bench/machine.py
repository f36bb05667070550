"""What the machine could do at best: multiply matrices and copy memory; and oneDNN's float32 products, if exact."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import torch

from lambdalab import compiled
from lambdalab.bench.rounds import seconds_of
from lambdalab.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
EXACT = 1e-4  # oneDNN's products may err by so much of the largest number; bfloat16's own rounding is 40 times that


class Limits(NamedTuple):
    """Rates of the best that was seen."""

    flops: float  # floating-point operations a second in a product of matrices
    copied: float  # bytes a second, read and written


def measure_limits(device: str = "cpu", dtype: str = "float32", repeats: int = 5) -> Limits:
    """Measure a large square product and a copy beyond the caches, on as many threads as are set; the best counts."""
    on_gpu = torch.device(device).type == "cuda"
    side, numbers = (8192, 2**28) if on_gpu else (1536, 2**26)
    a, b = (torch.randn(side, side, device=device, dtype=DTYPES[dtype]) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source).zero_()
    multiply = min(seconds_of(lambda: torch.mm(a, b, out=product), device) for _ in range(repeats))
    copy = min(seconds_of(lambda: target.copy_(source), device) for _ in range(repeats))
    return Limits(2 * side**3 / multiply, 2 * source.nbytes / copy)


def product_error() -> float:
    """Largest deviation of a float32 product from float64's, as a share of the largest number."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator, dtype=torch.float64) for _ in range(2))
    exact = a @ b
    return ((a.float() @ b.float()).double() - exact).abs().max().item() / exact.abs().max().item()


@contextmanager
def onednn_products(wanted: bool = True) -> Iterator[None]:
    """Let oneDNN do all float32 matrix products on the CPU, for every side, until the block ends.

    Raises:
        UserError: if this PyTorch has no such switch, or the products get inexact.
    """
    if not wanted:
        yield
        return
    if not hasattr(torch.backends.mkldnn, "matmul") or not torch.backends.mkldnn.is_available():
        raise UserError("this PyTorch has no switch for oneDNN's float32 products; leave out --onednn")
    before = torch.backends.mkldnn.matmul.fp32_precision
    try:
        switch_onednn(True)
        error = product_error()
        if error > EXACT:
            raise UserError(
                f"on this CPU oneDNN rounds float32 products to bfloat16 (relative error {error:.0e}, at most "
                f"{EXACT:.0e} is allowed); leave out --onednn"
            )
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def switch_onednn(wanted: bool) -> None:
    """Let oneDNN do this process's float32 matrix products from now on, if wanted.

    PyTorch asks oneDNN only where it may round to bfloat16. On a CPU without units for matrices of bfloat16 it does
    not round, and may be faster than the default library.
    """
    if wanted:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"


def setting_columns(device: str, dtype: str, onednn: bool) -> dict[str, str | int]:
    """How something was measured, as columns of its rows; the compiled kernel is asked for by LAMBDALAB_COMPILED."""
    kernel = device == "cpu" and compiled.runs(DTYPES[dtype])
    return {"device": device, "dtype": dtype, "onednn": int(onednn), "compiled": int(kernel)}


def products_in(dtype: str, device: str) -> AbstractContextManager:
    """Autocast to a dtype of ``DTYPES`` on a device; for float32, nothing."""
    return torch.autocast(torch.device(device).type, DTYPES[dtype], enabled=dtype != "float32")
