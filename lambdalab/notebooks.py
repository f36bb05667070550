"""The lecture's notebooks: find them, check parameters strictly before anything starts, run them."""

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lambdalab.errors import UserError, did_you_mean
from lambdalab.parameters import Parameter, declared
from lambdalab.paths import notebooks_dir, of_the_course
from lambdalab.terminal import KernelScreen

Given = Mapping[str, object] | Iterable[tuple[str, object]]


class NotebookFailed(RuntimeError):
    """A notebook stopped with something that is not the user's mistake; the message is one line."""


@dataclass(frozen=True)
class NotebookInfo:
    """One notebook of the kit, with the minutes to run it and to teach it (None where unknown)."""

    name: str
    path: Path
    title: str
    purpose: str
    minutes_run: float | None
    minutes_teach: float | None

    @property
    def minutes(self) -> tuple[str, str]:
        """Minutes to run and to teach as text, "?" where unknown."""
        run, teach = ("?" if each is None else f"{each:g}" for each in (self.minutes_run, self.minutes_teach))
        return run, teach


def list_notebooks() -> list[NotebookInfo]:
    """Return what `notebooks/*.ipynb` say about themselves, in the order of their names.

    Raises:
        UserError: If there are none here, or a file is no notebook.
    """
    return [notebook_info(path) for path in _paths().values()]


def notebook_info(path: Path) -> NotebookInfo:
    """Return what a notebook says about itself: its first heading and its metadata's `lambdalab` entry."""
    notebook = read_notebook(path)
    prose = "\n".join(_source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    heading = re.search(r"^#+ +(.+)$", prose, re.MULTILINE)
    about = notebook.get("metadata", {}).get("lambdalab", {})
    title = heading[1].strip() if heading else path.stem
    minutes = about.get("minutes_run"), about.get("minutes_teach")
    return NotebookInfo(path.stem, path, title, about.get("purpose", ""), *minutes)


def find_notebook(name: str) -> Path:
    """Return the notebook called `06_train`, `06`, `06_train.ipynb`, or lying at that path.

    Raises:
        UserError: If there is none, with the nearest name.
    """
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name)
    paths = _paths()
    stem = name.removesuffix(".ipynb")
    numbered = [path for known, path in paths.items() if known.split("_")[0] == stem]
    if stem in paths or len(numbered) == 1:
        return paths.get(stem) or numbered[0]
    raise UserError(f"unknown notebook '{name}'{did_you_mean(stem, list(paths))} (lambdalab list shows all)")


def parameters_of(path: str | Path) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares in its cell tagged `parameters`, by name.

    Raises:
        UserError: If the file is no notebook, or a declaration is not understood.
    """
    cell = _tagged(read_notebook(Path(path)), "parameters")
    return declared(_source(cell), Path(path).stem) if cell else {}


def check_parameters(path: str | Path, given: Given) -> dict[str, object]:
    """Return the given parameters as values of their types, and run the notebook's cell tagged `check`.

    That cell is cheap: it asks the library whether the values make sense together on this machine. It runs
    here, after the parameters cell and the given values, in a namespace of its own, so that a mistake is
    found before a kernel starts and before anything is written.

    Args:
        path: The notebook.
        given: Values by name, or pairs of name and value; text is read as `Parameter.value` says.

    Raises:
        UserError: For an unknown name, one given twice, a value of another type, or what the check refuses.
        NotebookFailed: If the check itself is broken.
    """
    path = Path(path)
    known = parameters_of(path)
    values: dict[str, object] = {}
    for name, value in _pairs(given):
        if name not in known:
            near = did_you_mean(name, list(known))
            where = f"(lambdalab run {path.stem} --help lists all)"
            raise UserError(f"unknown parameter '{name}' of {path.stem}{near} {where}")
        if name in values:
            raise UserError(f"parameter '{name}' of {path.stem} is given twice; give it once")
        values[name] = known[name].value(value)
    _run_check(path, values)
    return values


def run_notebook(path: str | Path, parameters: Given, out: str | Path) -> Path:
    """Check the parameters, execute the notebook with this Python, and return where the executed one is.

    The kernel works in the caller's current folder. A parameter `out` that the notebook declares is given the
    absolute folder `out`. The executed notebook appears as `out/<name>.ipynb` at the end, whole, also when a
    cell failed.

    Raises:
        UserError: As in `check_parameters`; if the folder cannot be made; or if a cell raised UserError.
        NotebookFailed: If anything else went wrong.
        KeyboardInterrupt: After Ctrl-C, when the kernel has been stopped.
    """
    path, out = Path(path), Path(out).absolute()
    given = _pairs(parameters)
    if "out" in dict(given):
        raise UserError(f"the folder of a run is given as --out DIR, not as a parameter of {path.stem}")
    if "out" in parameters_of(path):
        given.append(("out", str(out)))
    values = check_parameters(path, given)
    saved, growing = out / f"{path.stem}.ipynb", out / f".{path.stem}.running.ipynb"
    try:
        out.mkdir(parents=True, exist_ok=True)
        growing.touch()
    except OSError as error:
        message = f"cannot write into the folder {out} ({error.strerror}); choose another with --out"
        raise UserError(message) from None
    screen = KernelScreen(sys.stderr, path.stem, _cells_to_run(path, values))
    try:
        with screen:
            from lambdalab.kernel import execute

            execute(path, growing, values, screen)
    except (Exception, KeyboardInterrupt) as error:
        so_far = f" (the notebook so far is {saved})" if _keep(growing, saved) else ""
        raise _told(error, f"{path.stem}, cell {screen.cell}", so_far) from error
    _keep(growing, saved)
    return saved


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(of_the_course(notebooks_dir()).glob("[!.]*.ipynb"))}


def _pairs(given: Given) -> list[tuple[str, object]]:
    return list(given.items() if isinstance(given, Mapping) else given)


def _run_check(path: Path, values: dict[str, object]) -> None:
    notebook = read_notebook(path)
    check, parameters = _tagged(notebook, "check"), _tagged(notebook, "parameters")
    if check is None:
        return
    namespace: dict[str, object] = {"__name__": "__main__"}
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            exec(_source(parameters) if parameters else "", namespace)
            namespace.update(values)
            exec(_source(check), namespace)
    except UserError:
        raise
    except Exception as error:
        told = _brief(type(error).__name__, error)
        raise NotebookFailed(f"the check of {path.stem} failed: {told}") from error


def _cells_to_run(path: Path, values: dict[str, object]) -> int:
    code = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code" and _source(cell).strip()]
    return len(code) + bool(values)  # papermill puts the given values into a cell of their own


def _told(error: BaseException, where: str, so_far: str) -> BaseException:
    """Return the exception that says in one line what stopped a notebook."""
    kind, value = type(error).__name__, error
    if kind == "KeyboardInterrupt":
        return KeyboardInterrupt(f"stopped in {where}{so_far}")
    if kind == "PapermillExecutionError":
        kind, value = error.ename, error.evalue
    if kind == "UserError":
        return UserError(" ".join(str(value).split()))
    if kind == "DeadKernelError":
        kind, value = "the kernel died", "killed, or out of memory?"
    return NotebookFailed(f"{where}: {_brief(kind, value)}{so_far}")


def _keep(growing: Path, saved: Path) -> bool:
    """Move what was written to its place, without the machine's paths; return whether there was any."""
    if growing.stat().st_size == 0:
        growing.unlink()
        return False
    notebook = read_notebook(growing)
    notebook["metadata"].get("papermill", {}).update(input_path=saved.name, output_path=saved.name)
    growing.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    growing.replace(saved)
    return True


def read_notebook(path: Path) -> dict:
    """Return a notebook as its JSON says it.

    Raises:
        UserError: If the file is no notebook of format 4.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if not all("cell_type" in cell and "source" in cell for cell in notebook["cells"]):
            raise ValueError("a cell without type or source")
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} is not a readable notebook of format 4: {_brief(type(error).__name__, error)}"
        raise UserError(message) from None
    return notebook


def _tagged(notebook: dict, tag: str) -> dict | None:
    return next((cell for cell in notebook["cells"] if tag in cell.get("metadata", {}).get("tags", [])), None)


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _brief(kind: str, value: object) -> str:
    return " ".join(f"{kind}: {value}".split())
