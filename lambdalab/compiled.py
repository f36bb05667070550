"""The position term on a processor, in C++: ``compiled.cpp``, which this machine compiles if LAMBDALAB_COMPILED is 1.

    y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}

The same sums in the same order as in ``tiles``, which leaves them to PyTorch's matrix products; here a row of pixels
meets a row of the context at a time, so that the map never leaves the first cache, and no product is wider than the
scope. Optional: without it, or without a compiler, ``tiles`` does the work.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from lambdalab.cuts import Tiling
from lambdalab.errors import UserError
from lambdalab.paths import cache_dir

VARIABLE = "LAMBDALAB_COMPILED"
SOURCE = Path(__file__).with_suffix(".cpp")
REALS = {torch.float32: "float", torch.float64: "double"}
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-Wno-psabi")


class CannotCompile(RuntimeError):
    """There is no compiler, or it does not compile the kernel; the message is one line."""


class _Sizes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("pictures", "height", "width", "h", "k", "u", "v", "r_y", "r_x")]


def position_term(queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling) -> Tensor:
    """Return y_n = Σ_m (q_n·E_{m−n}) V_m for the offsets m − n in the embedding's window.

    Multiply-adds: n·m·u·h·(k + v), with m the window's pixels that lie in the picture, in whole halves of
    vectors. Memory: none but the result.

    Args:
        queries: (b, H, W, h, k), of a type in ``REALS``.
        values: (b, H, W, u, v).
        embedding: (k, u, r_y, r_x), odd.
        tiling: not used: there are no tiles.

    Returns:
        (b, H, W, h, v).

    Raises:
        CannotCompile: as ``library``.
    """
    kernel, v = library(queries.dtype), values.shape[4]
    queries, values, by_tap = (_in_vectors(each, kernel) for each in (queries, values, embedding.permute(2, 3, 1, 0)))
    by_k = _rows_by_k(by_tap, kernel)
    y = queries.new_empty(*queries.shape[:4], values.shape[4])
    threads = max(1, min(torch.get_num_threads(), y[:, :, 0, 0, 0].numel()))
    kernel.forward(_sizes(queries, values, by_tap), threads, by_k.shape[2], *_addresses(queries, values, by_k, y))
    return _first(y, v)


def position_term_gradients(
    grad: Tensor, queries: Tensor, values: Tensor, embedding: Tensor, tiling: Tiling
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to queries, values and embedding; the map is computed anew.

    dq_n = Σ_m da_nm E_{m−n}, dE_j = Σ_n da_n,n+j q_n, dV_m = Σ_n a_nm dy_n, with da_nm = dy_n·V_m; shapes as
    above, grad as y. Threads have whole pictures: two that see the same context would add to the same gradients.

    Raises:
        CannotCompile: as ``library``.
    """
    kernel, k, v = library(queries.dtype), queries.shape[4], values.shape[4]
    each = grad, queries, values, embedding.permute(2, 3, 1, 0)
    grad, queries, values, by_tap = (_in_vectors(tensor, kernel) for tensor in each)
    by_k, threads = _rows_by_k(by_tap, kernel), max(1, min(torch.get_num_threads(), len(queries)))
    by_v = F.pad(values.permute(0, 1, 4, 2, 3).flatten(3), (0, kernel.lanes())).contiguous()
    grad_q, grad_v = torch.empty_like(queries), torch.zeros_like(values)
    grad_e = by_tap.new_zeros(threads, *by_tap.shape)
    tensors = _addresses(grad, queries, by_v, by_k, by_tap, grad_q, grad_v, grad_e)
    kernel.backward(_sizes(queries, values, by_tap), threads, by_k.shape[2], by_v.shape[3], *tensors)
    return _first(grad_q, k), _first(grad_v, v), _copied(grad_e.sum(0)[..., :k].permute(3, 2, 0, 1))


def _in_vectors(tensor: Tensor, kernel: ctypes.CDLL) -> Tensor:
    """Contiguous, with zeros behind the last axis's numbers until they fill whole halves of vectors."""
    missing = -tensor.shape[-1] % kernel.lanes()
    return (F.pad(tensor, (0, missing)) if missing else tensor).contiguous()  # a pad of nothing would be a copy


def _first(tensor: Tensor, channels: int) -> Tensor:
    """The channels that were not filled up."""
    return tensor if tensor.shape[-1] == channels else _copied(tensor[..., :channels])


def _copied(view: Tensor) -> Tensor:
    """What an operator may return: never a view, and contiguous, as its fake says."""
    return view.clone(memory_format=torch.contiguous_format)


def _rows_by_k(by_tap: Tensor, kernel: ctypes.CDLL) -> Tensor:
    """E as (r_y, k, r_x·u), with zeros behind, since a vector may begin at any tap and end behind the last."""
    return F.pad(by_tap.flatten(1, 2).transpose(1, 2), (0, kernel.lanes())).contiguous()


def _sizes(queries: Tensor, values: Tensor, by_tap: Tensor) -> _Sizes:
    return _Sizes(*queries.shape, *values.shape[3:], *by_tap.shape[:2])


def _addresses(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def wanted() -> bool:
    """Whether LAMBDALAB_COMPILED asks for the kernel.

    Raises:
        UserError: if it is neither 0 nor 1.
    """
    value = os.environ.get(VARIABLE, "0")
    if value not in ("0", "1"):
        raise UserError(f"{VARIABLE} must be 1, for the compiled kernel, or 0; got '{value}'")
    return value == "1"


@lru_cache
def runs(dtype: torch.dtype) -> bool:
    """Whether the kernel is wanted and can be had for numbers of this type: tried once, and told if it cannot."""
    if not wanted() or dtype not in REALS:
        return False
    try:
        library(dtype)
    except CannotCompile as error:
        warnings.warn(f"lambda layers do without their compiled kernel, which is slower: {error}", stacklevel=2)
        return False
    return True


@lru_cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """The kernel for numbers of a type in ``REALS``, compiled if this machine has not yet, which takes seconds.

    Raises:
        CannotCompile: if there is no compiler, or it fails.
    """
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise CannotCompile("no C++ compiler (c++, g++ or clang++) was found; install one, or let CXX name yours")
    command = [compiler, *FLAGS, f"-DREAL={REALS[dtype]}"]
    made_of = "\n".join([*command, SOURCE.read_text(encoding="utf-8"), _processor()])
    path = cache_dir() / "compiled" / f"{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.so"
    try:
        if not path.exists():
            print(f"compiling the lambda layer's kernel with {compiler}, once ...", file=sys.stderr, flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # its own, if several processes compile
                made = Path(folder) / path.name
                subprocess.run([*command, "-o", made, SOURCE], check=True, capture_output=True, text=True)
                made.replace(path)
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.splitlines() or ["no reason was given"])[0]
        raise CannotCompile(f"{compiler} does not compile {SOURCE.name}: {reason}") from None
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise CannotCompile(f"the kernel that {compiler} made cannot be had: {error}") from None


def _processor() -> str:
    """What the kernel is compiled for: one that another processor left in a shared folder may not run here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
