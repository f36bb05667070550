"""What `lambdalab doctor` reports: findings, and how a function becomes a check that never raises."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from lambdalab.paths import checkout

SET_UP_AGAIN = (
    "delete .venv and run make again (without make: the README's uv pip commands)"
    if checkout()
    else "install lambdalab into a new environment"
)


@dataclass(frozen=True)
class Check:
    """One finding. `ok` is false only if something is broken; `remedy` then says in a line what to do."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


class Broken(Exception):
    """What a check raises: the finding, and what to do about it."""

    def __init__(self, detail: str, remedy: str = SET_UP_AGAIN) -> None:
        super().__init__(detail)
        self.remedy = remedy


def finding(name: str) -> Callable:
    """Make a function that returns what it found, and raises what is broken, return a `Check`."""

    def decorate(look: Callable[..., str]) -> Callable[..., Check]:
        @wraps(look)
        def check(*arguments: object) -> Check:
            try:
                return Check(name, True, look(*arguments))
            except Broken as broken:
                return Check(name, False, str(broken), broken.remedy)
            except Exception as error:  # half an installation can raise anything
                return Check(name, False, brief(error), SET_UP_AGAIN)

        return check

    return decorate


def brief(error: Exception) -> str:
    """Return an exception as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
