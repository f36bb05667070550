"""What a notebook's `parameters` cell declares, and the strict way from text to a declared type."""

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Callable
from dataclasses import dataclass

from lambdalab.errors import UserError

_TYPE = re.compile(r"(?:int|float|bool|str|list\[(?:int|float|bool|str)\])(?: \| None)?")
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_WRITTEN = {"bool": " (true or false)", "list": " (as a,b,c or as JSON)"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook, such as `epochs: int = 2  # passes over the training set`.

    Attributes:
        name: The variable's name.
        type: `int`, `float`, `bool`, `str` or a `list[...]` of one of these, each also with ` | None`.
        default: The value in the notebook.
        help: The comment at the end of its line.
    """

    name: str
    type: str
    default: object
    help: str = ""

    def value(self, given: object) -> object:
        """Return `given` as a value of the declared type.

        Text is read strictly: `3.5` is no int and `maybe` no bool; `none` is None where the type allows it; a
        list is written `1,2,3` or as JSON. Other Python values must have the type already (an int may stand
        for a float).

        Raises:
            UserError: If `given` is not of the type.
        """
        base, _, optional = self.type.partition(" | ")
        if optional and (given is None or (isinstance(given, str) and given.lower() == "none")):
            return None
        try:
            return _list(base[5:-1], given) if base.startswith("list[") else _scalar(base, given)
        except (ValueError, OverflowError, RecursionError):
            written = _WRITTEN.get(base.split("[")[0], "")
            message = f"parameter '{self.name}' takes {self.type}{written}, not {_shortened(given)}"
            raise UserError(message) from None


def as_text(value: object) -> str:
    """Return the text that `Parameter.value` reads back as `value`.

    The one value without such a text is the string `none` of a `str | None`.
    """
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value)


def declared(source: str, notebook: str) -> dict[str, Parameter]:
    """Read the parameters that a cell's source declares, one assignment of a literal each.

    papermill's own reader skips every line with ` | None` or with a second `=` (in a comment, say); Python's
    parser does not.

    Args:
        source: The source of the cell tagged `parameters`.
        notebook: The notebook's name, for messages.

    Raises:
        UserError: If the cell is not plain Python, or a default is no literal of a supported type.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise UserError(f"the parameters cell of {notebook} is not plain Python: {error}") from None
    comments = {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    assignments = [s for s in statements if isinstance(s, ast.Assign | ast.AnnAssign)]
    found = [_declaration(s, comments.get(s.end_lineno, ""), notebook) for s in assignments]
    return {parameter.name: parameter for parameter in found}


def _declaration(statement: ast.Assign | ast.AnnAssign, comment: str, notebook: str) -> Parameter:
    annotated = isinstance(statement, ast.AnnAssign)
    name = ast.unparse(statement.target if annotated else statement.targets[0])
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError):
        raise UserError(f"parameter '{name}' of {notebook} needs a literal as its default") from None
    kind = ast.unparse(statement.annotation) if annotated else _type_of(default)
    if not _TYPE.fullmatch(kind):
        message = f"parameter '{name}' of {notebook} has type {kind}; supported: int, float, bool, str, list[...]"
        raise UserError(f"{message} of these, each also with | None")
    return Parameter(name, kind, Parameter(name, kind, None).value(default), comment)


def _type_of(default: object) -> str:
    if isinstance(default, list) and len({type(item) for item in default}) == 1:
        return f"list[{type(default[0]).__name__}]"
    return type(default).__name__


def _scalar(kind: str, given: object) -> object:
    if isinstance(given, str):
        return _READ[kind](given)
    return _checked(kind, given)


def _list(kind: str, given: object) -> list:
    if isinstance(given, str):
        if not given.lstrip().startswith("["):
            return [_READ[kind](item.strip()) for item in given.split(",")] if given.strip() else []
        given = json.loads(given)
    if not isinstance(given, list):
        raise ValueError(given)
    return [_checked(kind, item) for item in given]


def _checked(kind: str, given: object) -> object:
    """Return a Python value if it has the type; bool is no int here, as `true` is no number to a reader."""
    if kind == "float" and type(given) is int:
        given = float(given)
    fits = {"int": int, "float": float, "bool": bool, "str": str}[kind]
    if not isinstance(given, fits) or (kind == "int" and isinstance(given, bool)):
        raise ValueError(given)
    if kind == "float" and not math.isfinite(given):
        raise ValueError(given)
    return given


def _read_int(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(text)
    return int(text)


def _read_float(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        raise ValueError(text)
    return _checked("float", float(text))


def _read_bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError(text)
    return _BOOLS[text.lower()]


_READ: dict[str, Callable[[str], object]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "str": str,
}


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
