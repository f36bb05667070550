"""What others have published: the original's training log and its tables, the paper's tables.

The files are in ``data/reference``; ``data/README.md`` says where each comes from and how sure it is.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from lambdalab.errors import UserError
from lambdalab.paths import home, of_the_course

TABLES = (
    "ablation",
    "paper_content_position",
    "paper_efficiency",
    "paper_family",
    "paper_hybrids",
    "paper_resnet50",
    "readme_cifar10",
    "readme_parameters",
)

_STEP = re.compile(
    r"\[Epoch:\s*(?P<epoch>\d+) (?P<step>\d+)/(?P<steps>\d+)\]\s+Loss:\s*(?P<loss>[\d.]+), Acc:\s*(?P<top1>[\d.]+)"
    r"\s+\|\s+Correct\s+(?P<correct>\d+)/(?P<seen>\d+)\s+\|\s+(?P<seconds>[\d.]+)sec/iter\s+[\d.]+sec/100iter"
)
_EPOCH = re.compile(
    r"\s+(?P<seconds>[\d.]+)sec/epoch \| eval \| Acc:\s*(?P<top1>[\d.]+)\s+\|\s+(?P<correct>\d+) / (?P<total>\d+)"
    r"\s+\|\s+(?P<eval_seconds>[\d.]+)sec/eval \|(?P<best> Best Model Saving\.\.\. \|)?"
    r" Learning Rate:\[(?P<lr>[\d.e-]+)\] -->\[(?P<next_lr>[\d.e-]+)\]"
)
_HEADER = re.compile(r"(?P<model>\w+) Model Parameters: (?P<parameters_m>[\d.]+) M Params")
_IGNORED = ("load checkpoint if needed", "start iteration", "...", "")


@dataclass(frozen=True)
class Step:
    """A line of the log: means over the epoch's steps so far; top-1 in percent, seconds of one step."""

    epoch: int
    step: int
    steps: int
    loss: float
    top1: float
    correct: int
    seen: int
    seconds: float


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch in the log: test top-1 in percent, seconds, learning rates of this and the next epoch."""

    epoch: int
    seconds: float
    top1: float
    correct: int
    total: int
    eval_seconds: float
    best: bool
    lr: float
    next_lr: float


@dataclass(frozen=True)
class TrainingLog:
    """The published log: its model, every printed step, every evaluation."""

    model: str
    parameters_m: float
    steps: tuple[Step, ...]
    epochs: tuple[Epoch, ...]

    def tables(self):
        """Return the steps and the epochs as two pandas tables."""
        import pandas

        return tuple(pandas.DataFrame([asdict(row) for row in rows]) for rows in (self.steps, self.epochs))


def read_log(path: Path | None = None) -> TrainingLog:
    """Read the original README's training log of LambdaResNet50 on CIFAR-10, or another in its format.

    Raises:
        UserError: if there is no such file, or a line is not of the format; the message has its number.
    """
    path = reference_dir() / "readme_training_log.txt" if path is None else Path(path)
    try:
        return parse_log(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"there is no log {path}; leave the path out for the published one") from None


def parse_log(text: str) -> TrainingLog:
    """Parse a log: a header, then a line for each hundred steps, the last of an epoch with its evaluation.

    Raises:
        UserError: if a line is not of the format, or its accuracy is not correct/total; with the line's number.
    """
    header, steps, epochs = None, [], []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.rstrip()
        step = _STEP.match(line)
        if step:
            steps.append(_typed(Step, step.groupdict(), number))
            rest = line[step.end() :]
            end = _EPOCH.fullmatch(rest)
            if end:
                epochs.append(_typed(Epoch, {"epoch": step["epoch"], **end.groupdict()}, number))
            elif rest.strip():
                raise UserError(
                    f"line {number} of the log: after sec/100iter there must be an evaluation, got '{rest}'"
                )
        elif header is None and _HEADER.fullmatch(line):
            header = _HEADER.fullmatch(line)
        elif line not in _IGNORED:
            raise UserError(f"line {number} of the log is neither a step nor an evaluation: '{line}'")
    if header is None:
        raise UserError("the log has no line 'MODEL Model Parameters: … M Params'")
    return TrainingLog(header["model"], float(header["parameters_m"]), tuple(steps), tuple(epochs))


def read_reference(name: str):
    """Return a published table as a pandas table; whole numbers that may be missing are nullable integers.

    Raises:
        UserError: if there is no table of this name.
    """
    import pandas

    if name not in TABLES:
        raise UserError(f"unknown table '{name}'; there are {', '.join(TABLES)}")
    return pandas.read_csv(reference_dir() / f"{name}.csv").convert_dtypes()


def reference_dir() -> Path:
    """Return the folder of the published tables and the log.

    Raises:
        UserError: if this is no course.
    """
    return of_the_course(home() / "data" / "reference")


def _typed(kind, texts: dict[str, str | None], number: int):
    """Make a Step or an Epoch of a line's texts, if its accuracy is what its counts say."""
    row = kind(**{name: kind.__annotations__[name](texts[name] or "") for name in kind.__annotations__})
    total = row.seen if kind is Step else row.total
    if abs(100 * row.correct / total - row.top1) > 0.0051:
        raise UserError(f"line {number} of the log: Acc {row.top1} is not {row.correct}/{total}")
    return row
