"""Exercise 06: hybrids of convolutions and lambda layers within a budget."""

from dataclasses import dataclass
from itertools import product

from lambdalab.cost import model_cost
from lambdalab.errors import UserError
from lambdalab.exercises.feedback import Feedback, not_written
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Example, Mistake, Task, judge_function
from lambdalab.models import model_config
from lambdalab.shapes import usable_share

PATTERNS = tuple(map("".join, product("CL", repeat=4)))
SINGLE = ("CCCC", "LCCC", "CLCC", "CCLC", "CCCL")
FREE = ("stages", "dim_k", "heads", "dim_u", "scope")  # what a design may change


@dataclass(frozen=True)
class Order:
    """What a hybrid LambdaResNet26 for pictures of 32×32 and ten classes must keep to, in ``check_hybrid``."""

    parameters: int = 8_300_000  # at most
    macs: int = 610_000_000  # at most, for one picture, counted as in the paper
    share: float = 1.0  # of the position embeddings that some picture can use, at least
    first: str = "C"  # the first stage, which works on the largest map
    scope: int = 7  # at least, or lambda layers would see no further than convolutions


def check_total(answer: object) -> Feedback:
    """Check a function of a pattern and five counts that predicts the pattern's parameters.

    The counts are a dictionary: the parameters of CCCC and of the four networks with a single L.
    """
    return judge_function(TOTAL, answer)


def check_cheapest(answer: object) -> Feedback:
    """Check a function of bills and a budget that returns the pattern with the fewest multiply-adds.

    The bills are a dictionary, pattern → (parameters, multiply-adds); parameters may be as many as the budget.
    """
    return judge_function(CHEAPEST, answer)


def check_hybrid(design: object, order: Order | None = None) -> Feedback:
    """Check a design, the changes to ``model_config("lambda_resnet26", stem="cifar", num_classes=10, …)``.

    Args:
        design: a dictionary such as ``{"stages": "CCLL", "scope": 7}``.
        order: what it must keep to; the default if not given.
    """
    order = order or Order()
    if design is None or design is ...:
        return not_written()
    if not isinstance(design, dict):
        hint = 'A dictionary, such as {"stages": "LLLL", "scope": 23}.'
        return Feedback(False, f"Not yet: a dictionary is wanted, not a {type(design).__name__}.", hint=hint)
    if set(design) - set(FREE):
        message = f"Not yet: {', '.join(sorted(set(design) - set(FREE)))} cannot be changed here."
        return Feedback(False, message, hint=f"A design may change {', '.join(FREE)}.")
    hint = 'Values such as "CLCL" for stages, and whole numbers for the others.'
    if not all(isinstance(value, str if name == "stages" else int) for name, value in design.items()):
        return Feedback(False, "Not yet: a value of this design is of another kind than it should be.", hint=hint)
    try:
        config = model_config("lambda_resnet26", stem="cifar", num_classes=10, **design)
        cost, share = model_cost(config, 32, count="paper"), usable_share(config, 32)
    except UserError as error:
        return Feedback(False, f"Not yet: no such network can be built: {error}", hint=hint)
    rows = [
        (cost.parameters <= order.parameters, f"parameters {cost.parameters:,}, at most {order.parameters:,}", FEWER),
        (cost.macs <= order.macs, f"multiply-adds {cost.macs:,}, at most {order.macs:,}", LESS_WORK),
        (share >= order.share, f"embeddings in use {share:.0%}, at least {order.share:.0%}", NO_IDLE),
        (config.stages[0] == order.first, f"first stage {config.stages[0]}, wanted {order.first}", FIRST),
        (config.scope >= order.scope, f"scope {config.scope}, at least {order.scope}", WINDOW),
    ]
    table = "\n".join(f"{'ok   ' if kept else 'not  '} {words}" for kept, words, _ in rows)
    broken = [hint for kept, _, hint in rows if not kept]
    if broken:
        return Feedback(False, f"Not yet: {len(broken)} of {len(rows)} demands are not met.", table, *broken[0])
    return Feedback(True, "Right. It keeps to the budget; others do, too.", table)


FEWER = (
    "Which stages have most parameters as convolutions?",
    "Parameters of a 3×3 convolution grow as d², and d doubles with every stage: save in the late stages.",
)
LESS_WORK = (
    "On which maps do position lambdas cost most, and which letter of their cost can you choose?",
    "A position lambda costs n·min(r², n)·k·v: a small scope, a smaller k, or more heads (v = d/h) make it cheaper.",
)
NO_IDLE = (
    "How far apart can two pixels of the last stage's map be?",
    "Its last layers work on 4×4 pixels, which have offsets from −3 to 3: a scope of 7 leaves none unused.",
)
WINDOW = ("A lambda layer that sees 3×3 pixels is a costly convolution.", "Choose the scope from the last map's size.")
FIRST = ("The order wants convolutions on the largest map.", "The first letter of stages is the first stage.")


def _total(stages: str, counts: dict[str, int]) -> int:
    saved = (counts["CCCC"] - counts[SINGLE[1 + place]] for place, kind in enumerate(stages) if kind == "L")
    return counts["CCCC"] - sum(saved)


def _draw_total(fresh: Fresh) -> tuple:
    shape = {"dim_k": fresh.choice([4, 8, 16]), "heads": fresh.choice([2, 4, 8]), "scope": fresh.choice([7, 15, 23])}
    name = fresh.choice(["lambda_resnet26", "lambda_resnet50", "lambda_resnet101"])
    counts = {each: model_cost(model_config(name, stages=each, **shape), 224).parameters for each in SINGLE}
    return fresh.choice(["LLCC", "LCLC", "CLCL", "CCLL", "LLLC", "LLCL", "LCLL", "CLLL"]), counts


def _cheapest(bills: dict[str, tuple[int, int]], budget: int, costs=lambda bill: bill[1]) -> str:
    return min((stages for stages in bills if bills[stages][0] <= budget), key=lambda stages: costs(bills[stages]))


def _draw_bills(fresh: Fresh) -> tuple:
    """Bills without any order; the right one has just as many parameters as the budget allows."""
    bills = {stages: (fresh.whole(10_000, 30_000), fresh.whole(1_000, 9_000)) for stages in PATTERNS}
    budget = sorted(parameters for parameters, _ in bills.values())[10]
    best = next(stages for stages, bill in bills.items() if bill[0] == budget)
    cheapest_macs = min(macs for parameters, macs in bills.values() if parameters <= budget)
    return {**bills, best: (budget, cheapest_macs - 1)}, budget


_ADD = "Start at CCCC. For each L in the pattern add what it changes: counts of the network with that L alone − CCCC."
TOTAL = Task(
    right=_total,
    praise="Stages do not know of one another: five counts predict all sixteen.",
    hint=_ADD,
    names=("stages", "counts"),
    draw=_draw_total,
    mistakes=(
        Mistake(
            "the pattern read from its end",
            lambda stages, counts: _total(stages[::-1], counts),
            "The first letter is the first stage, on the largest map.",
            _ADD,
        ),
        Mistake(
            "the letters swapped: savings for each C",
            lambda stages, counts: _total(stages.translate(str.maketrans("CL", "LC")), counts),
            "An L is where a lambda layer stands, and where something is saved.",
            _ADD,
        ),
        Mistake(
            "whole networks added, CCCC's own share counted again and again",
            lambda stages, counts: sum(counts[SINGLE[1 + i]] for i, kind in enumerate(stages) if kind == "L"),
            "Each count is of a whole network: add differences.",
            _ADD,
        ),
        Mistake(
            "the differences with the wrong sign",
            lambda stages, counts: 2 * counts["CCCC"] - _total(stages, counts),
            "Lambda layers save parameters: the prediction lies below CCCC.",
            _ADD,
        ),
    ),
)
_FILTER = "Keep the patterns whose parameters are ≤ budget; of these, min(…, key=lambda stages: bills[stages][1])."
CHEAPEST = Task(
    right=_cheapest,
    praise="First what is allowed, then the least of it.",
    hint=_FILTER,
    names=("bills", "budget"),
    draw=_draw_bills,
    mistakes=(
        Mistake(
            "the budget forgotten",
            lambda bills, budget: _cheapest(bills, 10**12),
            "Look at the parameters of your choice.",
            _FILTER,
        ),
        Mistake(
            "the fewest parameters in the place of the fewest multiply-adds",
            lambda bills, budget: _cheapest(bills, budget, lambda bill: bill[0]),
            "Parameters only have to fit; multiply-adds are what should be few.",
            _FILTER,
        ),
        Mistake(
            "the budget itself not allowed: < in the place of ≤",
            lambda bills, budget: _cheapest(bills, budget - 1),
            "A network with exactly as many parameters as the budget fits.",
            _FILTER,
        ),
        Mistake(
            "the most multiply-adds",
            lambda bills, budget: _cheapest(bills, budget, lambda bill: -bill[1]),
            "min or max?",
            _FILTER,
        ),
    ),
    examples=(Example("One fits, one does not.", ({"CCCC": (20, 5), "LLLL": (10, 9)}, 15)),),
)
