"""Exercise 04: the defect of intra-depth u > 1. Find where it is, write a test that sees it, repair it.

The community code's value projection gives u·v channels, whose order the content path takes for (v, u), depth by
depth, and the position path for (u, v), copy by copy. With u = 1 both are the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lambdalab.equations import content_lambda, position_lambda, relative_embeddings
from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Example, Mistake, Task, judge_function, no_function


def check_places(answer: object) -> Feedback:
    """Check a function of a channel, u and v: its (copy, depth) on the content path, and on the position path."""
    return judge_function(PLACES, answer)


def check_repair(answer: object) -> Feedback:
    """Check a function of keys (b, m, u, k), value maps (b, u·v, H, W) and a table (k, u, r, r) that returns λ.

    λ = λc + λp is (b, n, k, v). The channels of the value maps are (u, v): first all v of copy 0.
    """
    return judge_function(REPAIR, answer)


def check_test(answer: object) -> Feedback:
    """Check a test: a function that takes such a layer and says whether it is right, by calling it."""
    if (refused := no_function(answer)) is not None:
        return refused
    tried: list[tuple[int, int]] = []
    for name, layer, verdict in TRIED:
        judged = judge_function(_verdict(verdict), _on(answer, layer, tried))
        if not judged.ok:
            return _blame(name, judged, tried)
    return Feedback(True, "Right. It passes what is right, and catches both ways of mixing the letters.")


def lambdas(keys: Tensor, value_maps: Tensor, table: Tensor) -> Tensor:
    """λ = λc + λp by the library's equations, the channels read as (u, v) by both: what a layer must give.

    Args:
        keys: before their softmax, (b, m, u, k).
        value_maps: (b, u·v, H, W).
        table: embeddings of the offsets, (k, u, r, r).

    Returns:
        (b, n, k, v).
    """
    return mixed_lambdas(keys, value_maps, table, content_first="u", position_first="u")


def mixed_lambdas(
    keys: Tensor, value_maps: Tensor, table: Tensor, content_first: str = "v", position_first: str = "u"
) -> Tensor:
    """λ with the slow letter of the value channels chosen for each path; by default as in the community code.

    Shapes as for ``lambdas``.
    """
    size, u = tuple(value_maps.shape[2:]), keys.shape[2]
    content = content_lambda(keys, _read(value_maps, u, content_first))
    position = position_lambda(relative_embeddings(table, size), _read(value_maps, u, position_first))
    return content[:, None] + position


def _read(value_maps: Tensor, u: int, first: str) -> Tensor:
    """Values (b, m, u, v) out of channels whose slow letter is ``first``."""
    channels = value_maps.flatten(2).transpose(1, 2)
    return channels.unflatten(2, (u, -1)) if first == "u" else channels.unflatten(2, (-1, u)).transpose(2, 3)


def _other_way(keys: Tensor, value_maps: Tensor, table: Tensor) -> Tensor:
    return mixed_lambdas(keys, value_maps, table, content_first="u", position_first="v")


TRIED = (
    ("a layer that is right", lambdas, True),
    ("the published layer", mixed_lambdas, False),
    ("a layer with the two readings the other way round", _other_way, False),
)


def _verdict(wanted: bool) -> Task:
    return Task(lambda: wanted, praise="", hint="", mistakes=(Mistake("the opposite", lambda: not wanted, ""),))


def _on(test: Callable, layer: Callable, tried: list) -> Callable:
    """The learner's test applied to a layer that notes which u and v it was tried with."""

    def noted(keys: Tensor, value_maps: Tensor, table: Tensor) -> Tensor:
        tried.append((keys.shape[2], value_maps.shape[1] // keys.shape[2]))
        return layer(keys, value_maps, table)

    return lambda: test(noted)


def _blame(name: str, judged: Feedback, tried: list[tuple[int, int]]) -> Feedback:
    if "the opposite" not in judged.message:
        return judged
    if not tried:
        message = "Not yet: your test never calls the layer that it is given."
        return Feedback(False, message, hint="Draw keys, value maps and a table, and compare layer(…) with lambdas(…).")
    if name == TRIED[0][0]:
        hint = "Two ways to sum differ by rounding: compare with torch.allclose, in float64."
        return Feedback(False, f"Not yet: your test refuses {name}.", hint=hint)
    where = "u = 1 alone" if all(u == 1 for u, _ in tried) else f"(u, v) in {sorted(set(tried))}"
    if all(min(pair) == 1 for pair in tried):
        message = f"Not yet: your test passes {name}. It tried {where}, where both readings are the same."
        more = "With u = 1, or v = 1, (u, v) and (v, u) count the channels alike: take u = 2 and v = 3."
        return Feedback(False, message, hint="For which sizes can the two readings differ at all?", more=more)
    message = f"Not yet: your test passes {name}, though it tried {where}."
    return Feedback(False, message, hint="Compare all numbers of λ, not the shape or a sum.")


def _places(channel: int, u: int, v: int) -> tuple:
    return (channel % u, channel // u), (channel // v, channel % v)


def _draw_channel(fresh: Fresh) -> tuple:
    u, v = fresh.sizes(2, 3, 7)
    return fresh.whole(1, u * v - 2), u, v


def _draw_layer(fresh: Fresh) -> tuple:
    b, u, v, k = fresh.sizes(4, 2, 5)
    height, width = fresh.sizes(2, 3, 5)
    return (
        fresh.numbers(b, height * width, u, k),
        fresh.numbers(b, u * v, height, width),
        fresh.numbers(k, u, 3, 3),
    )


PLACES = Task(
    right=_places,
    praise="Two answers for one channel: that is the defect.",
    hint="If a letter is the slow one, its index is channel // (size of the other letter), the other's the remainder.",
    names=("channel", "u", "v"),
    draw=_draw_channel,
    mistakes=(
        Mistake(
            "the two paths swapped",
            lambda c, u, v: _places(c, u, v)[::-1],
            "Look at the two reshapes once more: which of them says (v, u)?",
            "The content path reshapes to (b, v, u, m): there v is the slow letter, and the copy is channel % u.",
        ),
        Mistake(
            "depth and copy swapped: each pair is (copy, depth)",
            lambda c, u, v: tuple(pair[::-1] for pair in _places(c, u, v)),
            "The first number of a pair is the copy, from 0 to u − 1.",
        ),
        Mistake(
            "channels, copies and depths counted from 1",
            lambda c, u, v: tuple((copy + 1, depth + 1) for copy, depth in _places(c, u, v)),
            "Python counts from 0.",
        ),
        Mistake(
            "the same reading for both paths, (u, v)",
            lambda c, u, v: (_places(c, u, v)[1],) * 2,
            "Then there would be no defect. Read the content path's reshape.",
        ),
        Mistake(
            "the same reading for both paths, (v, u)",
            lambda c, u, v: (_places(c, u, v)[0],) * 2,
            "Then there would be no defect. Read the position path's reshape.",
        ),
    ),
    examples=(
        Example("The first channel is copy 0, depth 0 for both.", (0, 2, 3)),
        Example("One copy: both agree.", (2, 1, 4)),
    ),
)
REPAIR = Task(
    right=lambdas,
    praise="One reading, for both paths. The sizes never showed it; the numbers do.",
    hint="Read the channels once, as (b, u, v, m), and use the same values on both paths.",
    axes="b n k v",
    names=("keys", "value maps", "table"),
    draw=_draw_layer,
    mistakes=(
        Mistake(
            "the u order mixed as before: (v, u) on the content path, (u, v) on the position path",
            mixed_lambdas,
            "This is the published layer still. Which line reads the channels as (v, u)?",
            "Make one array of values, reshape(b, u, v, m), and give both paths that.",
        ),
        Mistake(
            "the u order mixed the other way round: (u, v) on the content path, (v, u) on the position path",
            _other_way,
            "Both lines were changed. One of them was right.",
            "Make one array of values, reshape(b, u, v, m), and give both paths that.",
        ),
        Mistake(
            "one order on both paths, but (v, u): not the order of these channels",
            lambda keys, maps, table: mixed_lambdas(keys, maps, table, position_first="v"),
            "The two paths agree now. The channels are (u, v), though: first all v of copy 0.",
            "Change the content path and leave the position path as it was.",
        ),
        Mistake(
            "keys that went through no softmax",
            lambda keys, maps, table: (
                lambdas(keys, maps, table)
                + torch.einsum("bmuk,bmuv->bkv", keys - keys.softmax(1), _read(maps, keys.shape[2], "u"))[:, None]
            ),
            "The softmax over the positions was there in the published layer.",
        ),
    ),
)
