"""Judging an answer: what it gives on fresh inputs, against lambdalab's equations and against mistakes with a name.

A mistake is recognised by making it: what it would give for the same inputs is computed and compared. What is not
recognised is shown by the smallest example on which the answer fails.
"""

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lambdalab.exercises.feedback import Feedback, not_written
from lambdalab.exercises.fresh import Fresh

PACKAGE = Path(__file__).parent
ROUNDS = 3  # of fresh inputs
TOLERANCE, COARSE = 1e-4, 0.02  # shares of the largest number; the second for types of 16 bits


@dataclass(frozen=True)
class Mistake:
    """A common mistake: its name, what it gives for the task's inputs, a nudge, and a second hint that tells more."""

    name: str
    made: Callable
    hint: str
    more: str = ""


@dataclass(frozen=True)
class Example:
    """Small inputs, and what must hold for them, in words."""

    words: str
    inputs: tuple


@dataclass(frozen=True)
class Task:
    """What is asked for.

    Attributes:
        right: what is right for some inputs: a tensor, or a number, a text, a tuple or ``None``.
        praise: said of a right answer.
        hint: for answers that fail in no way that has a name.
        mistakes: the ways that have one.
        axes: letters of the axes of a tensor that is right, such as "b k v".
        names: the inputs' names, in order.
        draw: makes fresh inputs.
        examples: small inputs, the smallest first.
    """

    right: Callable
    praise: str
    hint: str
    mistakes: tuple[Mistake, ...]
    axes: str = ""
    names: tuple[str, ...] = ()
    draw: Callable[[Fresh], tuple] = lambda fresh: ()
    examples: tuple[Example, ...] = ()


def judge_function(task: Task, answer: object) -> Feedback:
    """Judge a function by what it returns on fresh inputs and on the task's small examples."""
    if (refused := no_function(answer)) is not None:  # all feedback but "right" is false
        return refused
    for _ in range(ROUNDS):
        inputs = draw_inputs(task)
        made = called(answer, inputs)
        found = made if isinstance(made, Feedback) else judge_value(task, made, inputs, shown=False)
        if not found:
            unnamed = not (isinstance(made, Feedback) or found.more)
            return replace(found, example=_smallest_failure(task, answer)) if unnamed else found
    failure = _smallest_failure(task, answer)
    if failure:
        return Feedback(False, "Not yet: right for most inputs, but not for these.", failure, task.hint)
    return Feedback(True, f"Right. {task.praise}")


def judge_value(task: Task, made: object, inputs: tuple, shown: bool = True) -> Feedback:
    """Judge what was returned, or written down, for some inputs; ``shown``: the learner has seen the inputs."""
    if made is None or made is ...:
        return not_written()
    right = task.right(*inputs)
    made, given = _comparable(made, right), made
    if made is None:
        message = f"Not yet: an array of axes ({_letters(task)}) is wanted, and this is {_described(given)}."
        return Feedback(False, message, hint=task.hint)
    if agree(made, right):
        return Feedback(True, f"Right. {task.praise}")
    for mistake in task.mistakes:
        if agree(made, mistake.made(*inputs)):
            message = f"Not yet. This is what comes out with {mistake.name}."
            return Feedback(False, message, hint=mistake.hint, more=mistake.more or task.hint)
    return Feedback(False, f"Not yet: {_difference(task, made, right, shown)}", hint=task.hint)


def draw_inputs(task: Task, fresh: Fresh | None = None) -> tuple:
    """Return fresh inputs on which what is right and every mistake give different results."""
    fresh = fresh or Fresh()
    for _ in range(1000):
        inputs = task.draw(fresh)
        if tells_apart(task, inputs):
            return inputs
    raise AssertionError(f"a thousand draws do not tell the mistakes apart: {task.praise}")


def tells_apart(task: Task, inputs: tuple) -> bool:
    """Whether the right result and those of all mistakes differ from one another for some inputs."""
    results = [task.right(*inputs), *(mistake.made(*inputs) for mistake in task.mistakes)]
    return not any(agree(one, other) for index, one in enumerate(results) for other in results[:index])


def agree(made: object, right: object) -> bool:
    """Whether two results are the same, up to rounding."""
    if isinstance(made, Tensor) and isinstance(right, Tensor):
        return made.shape == right.shape and not _wrong(made, right).any()
    if isinstance(made, bool) or isinstance(right, bool):
        return made is right
    try:
        return bool(made == right)
    except (TypeError, ValueError, RuntimeError):  # an array in the place of a number, say
        return False


def no_function(answer: object) -> Feedback | None:
    """Return what to say of an answer that is no function, if it is none."""
    if answer is None or answer is ...:
        return not_written()
    if callable(answer):
        return None
    hint = "Give the function itself, check_…(f), not what it returns, check_…(f(x))."
    return Feedback(False, f"Not yet: a function is wanted, and this is {_described(answer)}.", hint=hint)


def called(answer: Callable, inputs: tuple) -> object:
    """Return what a learner's function gives for copies of the inputs, or what to say if it stops or gives nothing."""
    try:
        made = answer(*(each.clone() if isinstance(each, Tensor) else each for each in inputs))
    except NotImplementedError:
        return not_written()
    except Exception as error:  # whatever a learner's code can raise becomes a line
        return _stopped(error)
    return not_written() if made is None else made


def _stopped(error: Exception) -> Feedback:
    said = " ".join(str(error).split())
    said = f"{said[:200]} …" if len(said) > 200 else said
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(PACKAGE)]
    lines = [frame.line for frame in own if frame.filename == own[0].filename]  # the learner's, not what it called
    message = f"Not yet: your function stops with {type(error).__name__}: {said}"
    hint = "Print the shapes and types of what goes into the line that stops: print(x.shape, x.dtype)."
    return Feedback(False, message, example=f"in the line  {lines[-1]}" if lines and lines[-1] else "", hint=hint)


def _smallest_failure(task: Task, answer: Callable) -> str:
    """The smallest example on which the answer fails, as lines of text; empty if it fails on none."""
    for example in task.examples:
        right, made = task.right(*example.inputs), called(answer, example.inputs)
        if not isinstance(made, Feedback) and agree(_comparable(made, right), right):
            continue
        rows = {**dict(zip(task.names, example.inputs, strict=True)), "wanted": right, "yours": made}
        width = max(map(len, rows))
        return "\n".join([example.words, *(f"{name:<{width}}  {_written(value)}" for name, value in rows.items())])
    return ""


def _difference(task: Task, made: object, right: object, shown: bool) -> str:
    """Say how a result that is not recognised differs from what is right."""
    if not isinstance(right, Tensor):
        text = " ".join(repr(made).split())
        text = f"{text[:80]} …" if len(text) > 80 else text
        return f"{text} is not it." if shown else f"for fresh inputs your function gives {text}, not {right!r}."
    if made.shape != right.shape:
        return f"the shape is {tuple(made.shape)}, and ({_letters(task)}) = {tuple(right.shape)} is wanted."
    if not torch.isfinite(made).all():
        return "some of your numbers are infinite or not a number."
    wrong = _wrong(made, right)
    count = f"{int(wrong.sum())} of {wrong.numel()} numbers differ"
    return f"the shape is right, but {count}, the first at {wrong.nonzero()[0].tolist()} (counted from 0)."


def _wrong(made: Tensor, right: Tensor) -> Tensor:
    """Which numbers of two arrays of one shape differ by more than rounding."""
    tolerance = COARSE if made.dtype in (torch.float16, torch.bfloat16) else TOLERANCE
    scale = max(right.abs().max().item(), 1e-3) if right.numel() else 1.0
    return ~((made.double() - right.double()).abs() <= tolerance * scale)


def _comparable(made: object, right: object) -> object:
    """A result in the form of what is right: a tensor, also from nested lists, a number, tuples; ``None``: neither."""
    if isinstance(right, tuple):
        return tuple(_comparable(each, ()) for each in made) if isinstance(made, list | tuple) else made
    if not isinstance(right, Tensor):
        return made.item() if hasattr(made, "item") and math.prod(getattr(made, "shape", (0,))) == 1 else made
    if isinstance(made, Tensor):
        return made.detach()
    try:
        return torch.as_tensor(made, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def _letters(task: Task) -> str:
    return ", ".join(task.axes.split())


def _described(made: object) -> str:
    return "text" if isinstance(made, str) else f"of type {type(made).__name__}"


def _written(value: object) -> str:
    """A small value on one line."""
    if isinstance(value, Feedback):
        return value.message
    return str(_rounded(value.tolist()) if isinstance(value, Tensor) else value)


def _rounded(value):
    return [_rounded(each) for each in value] if isinstance(value, list) else round(value, 3)
