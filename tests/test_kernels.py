"""The Triton kernels against the paper's sum in float64, and where the planner takes them."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from lambdalab import work
from lambdalab.choices import alternatives, choose
from lambdalab.cuts import KERNEL
from lambdalab.work import Shape, kernel_fits

# (b, H, W, h, k, u, v, scope): a window within and beyond the map, one row and one column, odd and large depths, heads
# that fill a tile or do not, more value channels than a program takes, a width that pairs of pixels do not divide.
SHAPES = [
    (1, 3, 4, 4, 16, 4, 16, 3),
    (2, 3, 5, 2, 8, 1, 6, 5),
    (1, 4, 3, 4, 16, 4, 70, 7),
    (1, 2, 3, 3, 5, 3, 40, 23),
    (1, 1, 6, 16, 4, 2, 9, 3),
    (1, 7, 1, 1, 20, 1, 8, 5),
]
LAYER = Shape(128, 32, 32, 16, 16, 4, 4, (7, 7), device="cuda", dtype=torch.bfloat16)  # of LambdaResNet26 (16, 4, 4, 7)

triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is there on Linux only")


@triton
def test_interpreted_kernels_equal_the_papers_sum():
    command = [sys.executable, Path(__file__).with_name("kernel_errors.py"), json.dumps(SHAPES)]
    run = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) == len(SHAPES)
    for shape, errors in zip(SHAPES, found, strict=True):
        assert len(errors) == 4 and 0 < max(errors) < 1e-3, shape  # float16 keeps 11 bits


@triton
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kernel", ["_forward", "_queries_gradient", "_embedding_gradient", "_values_gradient"])
def test_kernels_compile_for_a_gpu_that_is_not_here(kernel, capability):
    """For an A100 and an H100, as for a layer of LambdaResNet26; the interpreter accepts what the compiler may not."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lambdalab import kernels

    shaped = torch.empty(1, 32, 32, 4, 16), torch.empty(1, 32, 32, 4, 32), torch.empty(16, 4, 7, 7)
    options = (kernels._options_back if kernel == "_values_gradient" else kernels._options)(*shaped)
    options["PIXELS"] = kernels.PIXELS
    launch = {name: options.pop(name) for name in ("num_warps", "num_stages")}
    function = getattr(kernels, kernel)
    kinds = {"pixels": "i32", "parts": "*fp32", **dict.fromkeys(options, "constexpr")}
    signature = {name: kinds.get(name, "*bf16") for name in function.arg_names}
    constants = {(i,): options[name] for i, name in enumerate(function.arg_names) if name in options}
    source = ASTSource(function, signature=signature, constexprs=constants)
    assert compile(source, target=GPUTarget("cuda", capability, 32), options=launch).asm["cubin"]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (2, 32, 32, 4, 16, 4, 32, 7), (2, 8, 8, 4, 16, 4, 128, 7)])
def test_kernels_on_a_gpu_equal_the_papers_sum(shape):
    from kernel_errors import errors

    assert max(errors(shape, "cuda", torch.bfloat16)) < 1e-2  # bfloat16 keeps 8 bits


@triton
def test_a_gpu_takes_the_kernel_for_the_layers_it_was_written_for():
    assert kernel_fits(LAYER)
    choice = choose(LAYER)
    assert choice.order == "banded" and choice.tiling == KERNEL and str(choice.tiling) == "none: one kernel"


@triton
def test_a_gpu_that_triton_cannot_compile_for_does_without(monkeypatch):
    from lambdalab import kernels

    def fail(*_):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *size, **_: torch.zeros(size))
    monkeypatch.setattr(kernels, "position_term", fail)
    work.kernel_runs.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"do without their Triton kernel.*: Failed to find C compiler\.$"):
            assert not kernel_fits(LAYER)
        assert not kernel_fits(LAYER)  # and is not tried, or told, again
    finally:
        work.kernel_runs.cache_clear()


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cpu"},
        {"dtype": torch.float32},
        {"dtype": torch.float64},
        {"heads": 17},
        {"dim_k": 65},
        {"window": (63, 63)},
        {"batch": 2**15},
    ],
)
def test_where_there_is_no_kernel_tiles_stay(change):
    shape = LAYER._replace(**change)
    assert not kernel_fits(shape)
    assert all(way.tiling != KERNEL for way in alternatives(shape))
