"""Exercise 02: the content lambda, its intra-depth, and the queries' heads."""

import torch
from torch import Tensor

from lambdalab.equations import apply_lambda, content_lambda
from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Example, Mistake, Task, judge_function


def check_content_lambda(answer: object) -> Feedback:
    """Check a function of keys (b, m, k) and values (b, m, v) that returns λc, (b, k, v)."""
    return judge_function(CONTENT, answer)


def check_content_copies(answer: object) -> Feedback:
    """Check a function of keys (b, m, u, k) and values (b, m, u, v) that returns λc, (b, k, v), summed over u."""
    return judge_function(COPIES, answer)


def check_heads(answer: object) -> Feedback:
    """Check a function of queries (b, n, h·k), λ (b, k, v) and h that returns all heads' answers, (b, n, h·v)."""
    return judge_function(HEADS, answer)


def _sum(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("bm...k,bm...v->bkv", weights, values)


def _draw_content(fresh: Fresh) -> tuple:
    b, m, k, v = fresh.sizes(4)
    return fresh.numbers(b, m, k), fresh.numbers(b, m, v)


def _draw_copies(fresh: Fresh) -> tuple:
    b, m, u, k, v = fresh.sizes(5)
    return fresh.numbers(b, m, u, k), fresh.numbers(b, m, u, v)


def _draw_heads(fresh: Fresh) -> tuple:
    b, n, h, k, v = fresh.sizes(5)
    return fresh.numbers(b, n, h * k), fresh.numbers(b, k, v), h


def _answers(queries: Tensor, lambdas: Tensor, heads: int) -> Tensor:
    """(b, n, h, v)."""
    return apply_lambda(queries.unflatten(2, (heads, -1)).transpose(1, 2), lambdas).transpose(1, 2)


def _read_as_k_h(queries: Tensor, lambdas: Tensor, heads: int) -> Tensor:
    swapped = queries.unflatten(2, (-1, heads)).transpose(2, 3)
    return _answers(swapped.flatten(2), lambdas, heads).flatten(2)


def _column(*numbers: float) -> Tensor:
    """Keys or values of one picture, one number a position: (1, m, 1)."""
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, -1, 1)


_SOFTMAX = "keys are (b, m, k); the positions m are axis 1: keys.softmax(dim=1)."
_EINSUM = "λc[b, k, v] = Σ over m of K̄[b, m, k] · V[b, m, v]; as letters, bmk,bmv->bkv."
CONTENT = Task(
    right=content_lambda,
    praise="A softmax over the positions, and one sum: no query was needed.",
    hint="Two steps: the keys' softmax over the positions, then the sum over m of the products K̄[k] · V[v].",
    axes="b k v",
    names=("keys", "values"),
    draw=_draw_content,
    mistakes=(
        Mistake(
            "the softmax over the wrong axis, k",
            lambda keys, values: _sum(keys.softmax(dim=2), values),
            "Whose weights should have sum 1: those of one position, or those of all positions?",
            _SOFTMAX,
        ),
        Mistake(
            "the softmax over the wrong axis, the pictures b",
            lambda keys, values: _sum(keys.softmax(dim=0), values),
            "One picture's λ must not depend on the other pictures of the batch.",
            _SOFTMAX,
        ),
        Mistake(
            "no softmax at all",
            lambda keys, values: _sum(keys, values),
            "Without it, the sum grows with the number of positions.",
            _SOFTMAX,
        ),
        Mistake(
            "a transposed result, (b, v, k)",
            lambda keys, values: content_lambda(keys, values).transpose(1, 2),
            "The sums are right. Which letter comes first, k or v?",
            _EINSUM,
        ),
        Mistake(
            "scores divided by √k, as in attention",
            lambda keys, values: content_lambda(keys / keys.shape[2] ** 0.5, values),
            "Attention divides q·k by √k. Here no query has met a key yet.",
            "Take the softmax of the keys as they are.",
        ),
        Mistake(
            "a mean over the positions in the place of a sum",
            lambda keys, values: content_lambda(keys, values) / keys.shape[1],
            "The softmax has seen to it already that the weights of all positions have sum 1.",
            "Add over m and do not divide by their number.",
        ),
        Mistake(
            "the softmax on the values in the place of the keys",
            lambda keys, values: _sum(keys, values.softmax(dim=1)),
            "Keys say where to look, values what is there. Which of them are weights?",
            _SOFTMAX,
        ),
    ),
    examples=(
        Example("One position: its weight is 1, so λc is its value, whatever the key.", (_column(0.7), _column(3.0))),
        Example("Two positions with equal keys: λc is the mean of their values.", (_column(1, 1), _column(2, 6))),
        Example("One key is far larger: λc is all but that position's value.", (_column(0, 20), _column(2, 6))),
        Example(
            "Two pictures: each has a λ of its own.",
            (torch.zeros(2, 1, 1).double(), torch.tensor([[[1.0]], [[5.0]]]).double()),
        ),
    ),
)
_COPIES_SOFTMAX = "Axis 1 again: keys.softmax(dim=1) takes each copy u and each k by itself."
COPIES = Task(
    right=content_lambda,
    praise="Each copy has a softmax of its own, and λ keeps its shape, k×v.",
    hint="It is the λ of step 1, made for each copy u by itself; then the copies are added.",
    axes="b k v",
    names=("keys", "values"),
    draw=_draw_copies,
    mistakes=(
        Mistake(
            "the softmax over the wrong axis, the copies u",
            lambda keys, values: _sum(keys.softmax(dim=2), values),
            "The axes have moved: which of (b, m, u, k) are the positions?",
            _COPIES_SOFTMAX,
        ),
        Mistake(
            "the softmax over the wrong axis, k",
            lambda keys, values: _sum(keys.softmax(dim=3), values),
            "The axes have moved: which of (b, m, u, k) are the positions?",
            _COPIES_SOFTMAX,
        ),
        Mistake(
            "one softmax over positions and copies together",
            lambda keys, values: _sum(keys.flatten(1, 2).softmax(dim=1).unflatten(1, keys.shape[1:3]), values),
            "Each copy reads the context by itself.",
            _COPIES_SOFTMAX,
        ),
        Mistake(
            "a mean over the copies in the place of a sum",
            lambda keys, values: content_lambda(keys, values) / keys.shape[2],
            "The paper sums over u.",
        ),
        Mistake(
            "copies mixed: every copy's keys with every copy's values",
            lambda keys, values: torch.einsum("bmuk,bmwv->bkv", keys.softmax(dim=1), values),
            "A copy's keys belong to the same copy's values.",
            "One letter u for both: bmuk,bmuv->bkv.",
        ),
        Mistake("no softmax at all", lambda keys, values: _sum(keys, values), "Weights first.", _COPIES_SOFTMAX),
    ),
    examples=(
        Example(
            "One position, two copies: both weights are 1, so λc is the sum of the two values.",
            (torch.zeros(1, 1, 2, 1).double(), torch.tensor([3.0, 4.0]).double().reshape(1, 1, 2, 1)),
        ),
    ),
)
_READ = "queries.reshape(b, n, heads, k): the first letter is the slow one."
HEADS = Task(
    right=lambda queries, lambdas, heads: _answers(queries, lambdas, heads).flatten(2),
    praise="h questions to one λ, and their answers side by side.",
    hint="Split the last axis of the queries into (h, k), apply λᵀ to each query, put the answers side by side.",
    axes="b n h·v",
    names=("queries", "lambdas", "heads"),
    draw=_draw_heads,
    mistakes=(
        Mistake(
            "heads and k swapped: the queries read as (k, h)",
            _read_as_k_h,
            "The first k numbers of a position are the whole query of head 0.",
            _READ,
        ),
        Mistake(
            "the answers put together as (v, h) in the place of (h, v)",
            lambda queries, lambdas, heads: _answers(queries, lambdas, heads).transpose(2, 3).flatten(2),
            "First all v numbers of head 0, then all of head 1.",
            "Bring the axes into the order (b, n, h, v) before you flatten the last two.",
        ),
        Mistake(
            "both swapped: queries read as (k, h), answers put together as (v, h)",
            lambda q, lambdas, h: _read_as_k_h(q, lambdas, h).unflatten(2, (h, -1)).transpose(2, 3).flatten(2),
            "Consistent, but h is the slow letter on both sides.",
            _READ,
        ),
        Mistake(
            "positions and heads swapped before flattening",
            lambda q, lambdas, h: _answers(q, lambdas, h).transpose(1, 2).reshape(*q.shape[:2], -1),
            "Flattening (b, h, n, v) does not put a position's heads side by side.",
            "Transpose to (b, n, h, v) first.",
        ),
        Mistake(
            "the heads added",
            lambda queries, lambdas, heads: _answers(queries, lambdas, heads).sum(dim=2),
            "The answers stand side by side: h·v numbers come out for each position.",
        ),
    ),
    examples=(
        Example(
            "Two heads, k = v = 1, λ = 10: each head's query comes out ten times as large.",
            (torch.tensor([[[1.0, 2.0]]]).double(), torch.tensor([[[10.0]]]).double(), 2),
        ),
    ),
)
