"""A sweep: one notebook run with many parameters, a folder each; what has finished is not run again.

A folder's ``sweep.json`` says with which parameters its notebook ran to the end, and how long that took.
"""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from lambdalab.errors import UserError
from lambdalab.interruption import stop_signals
from lambdalab.notebooks import check_parameters, parameters_of
from lambdalab.parameters import as_text
from lambdalab.workers import PATIENCE, Case, RunFailed, Workers

MOST_RUNS = 10_000
SHAPE = "write a mapping of parameter to list of values, or a list of such mappings with one value each"


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        state: "finished"; "failed"; "not finished": it ended without a result, as with ``stop_after``; "not run".
        seconds: that the run took.
        top1: the share of right guesses on the test part, if its summary.json has one.
        message: why it failed.
    """

    state: str
    seconds: float | None = None
    top1: float | None = None
    message: str = ""


def read_grid(path: Path) -> list[dict[str, object]]:
    """Return the cases that a YAML file describes, as parameters by name.

    A mapping, ``lr: [0.05, 0.1]``, ``seed: [0, 1, 2]``, stands for every combination; a value that is no list stands
    for itself. A list of mappings, ``- {lr: 0.1, seed: 0}``, stands for the cases as they are.

    Raises:
        UserError: if the file is not there, not YAML, or of another shape, or a list is empty.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _NoKeyTwice)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the grid {path} ({error}); {SHAPE}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if isinstance(content, list) and content and all(isinstance(case, dict) for case in content):
        return [{str(name): value for name, value in case.items()} for case in content]
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path} holds no grid; {SHAPE}")
    choices = {str(name): values if isinstance(values, list) else [values] for name, values in content.items()}
    empty = [name for name, values in choices.items() if not values]
    if empty:
        raise UserError(f"parameter '{empty[0]}' in {path} has no values; give one at least")
    count = math.prod(map(len, choices.values()))
    if count > MOST_RUNS:
        raise UserError(f"{path} asks for {count:,} runs; {MOST_RUNS:,} are the most")
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def plan(notebook: Path, grid: list[dict[str, object]], out: Path) -> list[Case]:
    """Check each case as a run would, and return them all with their folders; nothing is written.

    A folder's name ends with a hash of the notebook's name and of all its parameters, so that a grid may grow.

    Raises:
        UserError: for the first case with a mistake, or two that are the same.
        NotebookFailed: if the notebook's check is broken.
    """
    notebook, out = notebook.absolute(), out.absolute()
    declared = parameters_of(notebook)
    defaults = {name: parameter.default for name, parameter in declared.items() if name != "out"}
    checked: list[dict[str, object]] = []
    for number, given in enumerate(grid, start=1):
        if "out" in given:
            raise UserError(f"the folder of a sweep is given as --out DIR, not as a parameter of {notebook.stem}")
        try:
            checked.append(check_parameters(notebook, given))
        except UserError as error:
            shown = ", ".join(f"{name}={value}" for name, value in given.items())
            raise UserError(f"run {number} of {len(grid)} ({shown}): {error}") from None
    full = [defaults | values for values in checked]
    names = list(dict.fromkeys(name for values in checked for name in values))
    varying = [name for name in names if len({as_text(values[name]) for values in full}) > 1] or names[:3]
    cases: dict[str, Case] = {}
    for given, values in zip(checked, full, strict=True):
        key = _hash(notebook.stem, values)
        folder = next(iter(sorted(out.glob(f"*__{key}"))), None)
        case = Case({name: values[name] for name in varying}, notebook, given, values, folder or out, Path.cwd())
        if key in cases:
            raise UserError(f"two runs of the sweep are the same: {case.label}; leave one out")
        plain = re.sub(r"[^\w.=,+-]+", "_", case.label)[:80]
        cases[key] = case if folder else replace(case, folder=out / f"{plain}__{key}")
    return list(cases.values())


def outcome_of(case: Case) -> Outcome:
    """Return what a case's folder says: "finished" if its notebook ran to the end and left a result."""
    try:
        record = json.loads((case.folder / "sweep.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome("not run")
    try:
        result = json.loads((case.folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome("not finished", record["seconds"])
    return Outcome("finished", record["seconds"], result.get("test_top1"))


def run_cases(
    cases: list[Case], workers: Workers, retries: int, tell: Callable[[Case, Outcome, bool], None]
) -> list[Outcome]:
    """Run the cases that have not finished, and return what became of all.

    Args:
        cases: from ``plan``.
        workers: who executes them.
        retries: how often a run that failed is started again.
        tell: called with each case that ended, what became of it, and whether it is started again.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the runs under way have been stopped.
    """
    outcomes = {case.folder: outcome_of(case) for case in cases}
    tries = dict.fromkeys(outcomes, 0)
    running: dict[Future, Case] = {}

    def start(case: Case) -> None:
        tries[case.folder] += 1
        running[workers.start(case)] = case

    with stop_signals() as received:
        try:
            for case in cases:
                if outcomes[case.folder].state != "finished":
                    start(case)
            while running and not received:
                for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    case = running.pop(future)
                    outcome = outcomes[case.folder] = _ended(case, future)
                    again = outcome.state == "failed" and tries[case.folder] <= retries
                    tell(case, outcome, again)
                    if again:
                        start(case)
        finally:
            workers.stop.set()
            for future in running:
                future.cancel()
            wait(running, timeout=PATIENCE + 10)
    if received:
        done = sum(outcome.state == "finished" for outcome in outcomes.values())
        raise KeyboardInterrupt(f"stopped: {done} of {len(cases)} runs have finished; the same command goes on")
    return [outcomes[case.folder] for case in cases]


def markdown_table(cases: list[Case], outcomes: list[Outcome], start: Path) -> str:
    """Return the sweep as a Markdown table: the parameters that vary, top-1 in percent, seconds, folder."""
    head = [*cases[0].varying, "test top-1 [%]", "seconds", "folder"]
    lines = [head, ["---"] * len(head)]
    for case, outcome in zip(cases, outcomes, strict=True):
        finished = "" if outcome.top1 is None else f"{outcome.top1:.2%}".removesuffix("%")
        top1 = finished if outcome.state == "finished" else outcome.state
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:.0f}"
        folder = case.folder.relative_to(start) if case.folder.is_relative_to(start) else case.folder
        lines.append([*map(as_text, case.varying.values()), top1, seconds, str(folder)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ended(case: Case, future: Future) -> Outcome:
    try:
        future.result()
    except RunFailed as error:
        return Outcome("failed", message=str(error))
    except Exception as error:  # of the cluster: whatever its workers died of
        return Outcome("failed", message=" ".join(f"{type(error).__name__}: {error}".split()))
    return outcome_of(case)


def _hash(notebook: str, values: dict[str, object]) -> str:
    text = json.dumps([notebook, values], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


class _NoKeyTwice(yaml.SafeLoader):
    """Reads YAML without running anything, and refuses a key that stands twice, which YAML's readers let pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise UserError(f"'{twice[0]}' stands twice in a mapping of the grid; give it once")
        return super().construct_mapping(node, deep)
