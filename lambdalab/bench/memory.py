"""Peak memory of a piece of work, measured in a process of its own, so that nothing else counts.

On a CPU it is the growth of the process's resident memory, from before the work to its highest point; on a GPU the
growth of what PyTorch's allocator has handed out. Processes are forked from a server that has loaded PyTorch and done
nothing (spawned where there is no fork), which takes a fraction of a second each.
"""

import ctypes
import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

Peaks = dict[str, float | None]  # MB by side

_M_MMAP_THRESHOLD = -3  # from glibc's malloc.h
_PRELOADED = ["torch", "lambdalab.bench.sides", "lambdalab.models", "lambdalab.attention", "lambda_networks", "timm"]


def peak_memory(prepare: Callable[..., Callable[[], None]], *arguments, device: str = "cpu") -> int | None:
    """Return the bytes by which memory grows at most while a piece of work runs, in a process of its own.

    Args:
        prepare: a function of a module's top level; in the new process it is called with ``arguments``, makes what is
            not to be counted (weights, input, a rehearsal), and returns the work.
        *arguments: for ``prepare``; they are pickled.
        device: where the work is done.

    Returns:
        Bytes, or ``None`` if the process was killed, as a rule because memory ended.

    Raises:
        RuntimeError: what the work raised.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, prepare, arguments, device), daemon=True)
    process.start()
    sender.close()
    try:
        kind, answer = receiver.recv()
    except EOFError:
        return None
    except KeyboardInterrupt:
        process.kill()
        raise
    finally:
        process.join()
        receiver.close()
    if kind == "out of memory":
        return None
    if kind == "error":
        raise RuntimeError(answer)
    return answer


def peak_megabytes(prepare: Callable[..., Callable[[], None]], *arguments, device: str = "cpu") -> float | None:
    """``peak_memory`` in MB of 10⁶ bytes."""
    peak = peak_memory(prepare, *arguments, device=device)
    return None if peak is None else peak / 1e6


def peak_columns(peaks: Peaks, name: str, ours: str) -> dict[str, float | None]:
    """A side's peak and its ratio to ours, as columns of a row; ``None`` where either is not known."""
    peak, own = peaks.get(name), peaks.get(ours)
    return {"peak_mb": peak, "peak_ratio": peak / own if peak and own else None}


def _context():
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)  # what is not installed is passed over
    return context


def _measure(sender, prepare: Callable, arguments: tuple, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one answers
    try:
        torch.set_num_threads(1)
        _keep_nothing_freed()
        work = prepare(*arguments)
        sender.send(("bytes", growth(work, device)))
    except (MemoryError, torch.OutOfMemoryError):
        sender.send(("out of memory", None))
    except Exception as error:
        short = str(error).splitlines()[0] if str(error) else ""
        # PyTorch's allocator on a CPU raises a plain RuntimeError; these are its words on Linux and elsewhere.
        out = "can't allocate memory" in str(error) or "not enough memory" in str(error)
        sender.send(("out of memory", None) if out else ("error", f"{type(error).__name__}: {short}"))
    finally:
        sender.close()


def growth(work: Callable[[], None], device: str = "cpu") -> int:
    """Bytes by which this process's memory grows at most while ``work`` runs.

    Resident memory only has a highest point since the process began, which Linux can be asked to forget; elsewhere
    work that stays below an earlier peak counts as nothing.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    gc.collect()
    _forget_peak()
    before = _resident()
    work()
    return max(0, _highest() - before)


def _keep_nothing_freed() -> None:
    """Have glibc return every tensor's memory to the system at once, so that its stores do not count as needed."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**16)


def _forget_peak() -> None:
    """Return freed memory to the system, so that the work cannot use it unseen, and forget the highest point."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
        except (AttributeError, OSError):  # not glibc, or not allowed: the peak may then lie before the work
            return


def _resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss


def _highest() -> int:
    if sys.platform == "linux":  # getrusage does not forget
        status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
        return int(status.split()[0]) * 1024
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
