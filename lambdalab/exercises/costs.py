"""Exercise 05: what attention and lambdas cost, and where they cross; counted as in ``formulas``."""

from lambdalab.exercises.feedback import Feedback
from lambdalab.exercises.fresh import Fresh
from lambdalab.exercises.judging import Example, Mistake, Task, judge_function
from lambdalab.formulas import Shape, count_attention, count_lambda, count_lambda_convolution

LETTERS = ("b", "n", "m", "k", "v", "h")


def check_attention_macs(answer: object) -> Feedback:
    """Check a function of b, n, m, k, v, h: multiply-adds of softmax(QKᵀ)V with h heads of depth v."""
    return judge_function(ATTENTION, answer)


def check_lambda_macs(answer: object) -> Feedback:
    """Check a function of b, n, m, k, v, h: multiply-adds of λc, of all λp, and of λ = λc + λp applied to h heads."""
    return judge_function(LAMBDA, answer)


def check_crossover(answer: object) -> Feedback:
    """Check a function of k, v, h, r: the fewest pixels n from which on a lambda convolution needs fewer multiply-adds.

    Fewer than global attention on the same n = m pixels, h heads of depth v; the window has r×r offsets, all counted.
    """
    return judge_function(CROSSOVER, answer)


def check_batch_crossover(answer: object) -> Feedback:
    """Check a function of n, k, v, h: the fewest pictures b for which a lambda layer keeps fewer numbers.

    Fewer than attention's maps, with n = m pixels: the embeddings of all pairs, which the batch shares, all λp and λc.
    """
    return judge_function(BATCH, answer)


def _attention(b: int, n: int, m: int, k: int, v: int, h: int) -> int:
    return count_attention(Shape(n=n, m=m, k=k, v=v, h=h, b=b)).multiply_adds


def _lambda(b: int, n: int, m: int, k: int, v: int, h: int) -> int:
    return count_lambda(Shape(n=n, m=m, k=k, v=v, h=h, b=b)).multiply_adds


def _crossover(k: int, v: int, h: int, r: int) -> int:
    """By trying, from one pixel on: the difference is n·(a·n − c), so there is one crossing."""
    n = 1
    while True:
        window = count_lambda_convolution(Shape(n=n, m=r * r, k=k, v=v, h=h)).multiply_adds
        if window < count_attention(Shape(n=n, m=n, k=k, v=v, h=h)).multiply_adds:
            return n
        n += 1


def _batch(n: int, k: int, v: int, h: int) -> int:
    b = 1
    while True:
        shape = Shape(n=n, m=n, k=k, v=v, h=h, b=b)
        if count_lambda(shape).numbers < count_attention(shape).numbers:
            return b
        b += 1


def _draw_letters(fresh: Fresh) -> tuple:
    return tuple(fresh.sizes(len(LETTERS), 2, 30))


def _draw_crossover(fresh: Fresh) -> tuple:
    """At a whole number of pixels both cost the same: that one is not fewer yet."""
    while True:
        k, v, h = fresh.sizes(3, 2, 12)
        r = fresh.choice([3, 5, 7])
        if (k * v * (r * r + 1 + h)) % (h * (k + v)) == 0:
            return k, v, h, r


def _draw_batch(fresh: Fresh) -> tuple:
    while True:
        n, (k, v, h) = fresh.whole(50, 300), fresh.sizes(3, 2, 12)
        if h * n > 2 * k * v:  # else an attention map is smaller than the λs, and no batch will do
            return n, k, v, h


def _equal(k: int, v: int, h: int, offsets: int, attention: int | None = None) -> int:
    """The pixels n at which k·v·(offsets) multiply-adds a pixel equal attention's, rounded down."""
    return k * v * offsets // (h * (k + v) if attention is None else attention)


_TWO = "A multiply-add is one MAC; it counts as two FLOPs. MACs are asked for."
_PRODUCTS = "Write the einsums and multiply the sizes of all letters of each: bhnk,bhmk->bhnm and bhnm,bhmv->bhnv."
ATTENTION = Task(
    right=_attention,
    praise="Pairs times the depths they meet in.",
    hint="Two products: scores q·k for all pairs, k multiply-adds each; then weights times values, v each.",
    names=LETTERS,
    draw=_draw_letters,
    mistakes=(
        Mistake("FLOPs in the place of MACs", lambda *s: 2 * _attention(*s), "Your number is twice ours.", _TWO),
        Mistake(
            "the heads forgotten",
            lambda b, n, m, k, v, h: _attention(b, n, m, k, v, 1),
            "Every head has a map of its own.",
            _PRODUCTS,
        ),
        Mistake(
            "the pictures of the batch forgotten",
            lambda b, n, m, k, v, h: _attention(1, n, m, k, v, h),
            "b pictures go through.",
            _PRODUCTS,
        ),
        Mistake(
            "v taken for the depth of all heads together",
            lambda b, n, m, k, v, h: b * n * m * (h * k + v),
            "v is the depth of one head; d = h·v numbers come out.",
            _PRODUCTS,
        ),
        Mistake(
            "the scores alone: weights times values is missing",
            lambda b, n, m, k, v, h: b * h * n * m * k,
            "A map of weights is no output yet.",
            _PRODUCTS,
        ),
        Mistake(
            "k·v in the place of k + v",
            lambda b, n, m, k, v, h: b * h * n * m * k * v,
            "Do k and v ever occur in the same einsum?",
            _PRODUCTS,
        ),
    ),
)
_LAMBDAS = "Three einsums: bmk,bmv->bkv, nmk,bmv->bnkv and bhnk,bnkv->bhnv. Multiply each one's letters, and add."
LAMBDA = Task(
    right=_lambda,
    praise="The heads occur once, where λ is applied: they all share it.",
    hint=_LAMBDAS,
    names=LETTERS,
    draw=_draw_letters,
    mistakes=(
        Mistake("FLOPs in the place of MACs", lambda *s: 2 * _lambda(*s), "Your number is twice ours.", _TWO),
        Mistake(
            "a λ for every head",
            lambda b, n, m, k, v, h: b * h * (m + n * m + n) * k * v,
            "What do the h queries of a position share?",
            _LAMBDAS,
        ),
        Mistake(
            "λc and λp applied one after the other",
            lambda b, n, m, k, v, h: _lambda(b, n, m, k, v, h) + b * h * n * k * v,
            "The two are added first, and additions are not counted.",
            _LAMBDAS,
        ),
        Mistake(
            "lambdas that nobody applies",
            lambda b, n, m, k, v, h: b * (m + n * m) * k * v,
            "The queries have not been used yet.",
            _LAMBDAS,
        ),
        Mistake(
            "the content lambda forgotten",
            lambda b, n, m, k, v, h: b * (n * m + h * n) * k * v,
            "There are two lambdas.",
            _LAMBDAS,
        ),
        Mistake(
            "position lambdas once for the whole batch",
            lambda b, n, m, k, v, h: (b * m + n * m + b * h * n) * k * v,
            "E is shared by the batch; λp is made of E and the values, and each picture has its own.",
            _LAMBDAS,
        ),
    ),
)
_SOLVE = "Solve n·kv·(r² + 1 + h) < n²·h·(k + v) for n: n must be above kv·(r² + 1 + h) / (h·(k + v)), a whole number."
CROSSOVER = Task(
    right=_crossover,
    praise="Below it attention is the smaller sum; above it attention grows with n², the window with n.",
    hint=_SOLVE,
    names=("k", "v", "h", "r"),
    draw=_draw_crossover,
    mistakes=(
        Mistake(
            "the n at which both are equal: the first with fewer is one more",
            lambda k, v, h, r: _crossover(k, v, h, r) - 1,
            "Put your n into both counts and compare: fewer is asked for.",
            _SOLVE,
        ),
        Mistake(
            "a window of r offsets in the place of r×r",
            lambda k, v, h, r: _equal(k, v, h, r + 1 + h) + 1,
            "The window is r pixels wide and r high.",
            _SOLVE,
        ),
        Mistake(
            "attention's heads forgotten",
            lambda k, v, h, r: _equal(k, v, h, r * r + 1 + h, k + v) + 1,
            "Each of the h heads has its n² pairs.",
            _SOLVE,
        ),
        Mistake(
            "lambdas that nobody applies",
            lambda k, v, h, r: _equal(k, v, h, r * r + 1) + 1,
            "h queries of each pixel meet its λ: h·k·v more.",
            _SOLVE,
        ),
        Mistake(
            "a λ for every head",
            lambda k, v, h, r: _equal(k, v, h, h * (r * r + 2)) + 1,
            "All heads share one λ.",
            _SOLVE,
        ),
    ),
    examples=(
        Example("No whole n has equal counts here: round up.", (2, 3, 1, 3)),
        Example("The paper's window, with k = v = 16 and four heads.", (16, 16, 4, 23)),
    ),
)
_KEPT = "Attention keeps b·h·n²; the lambda layer n²·k + b·(n + 1)·k·v. Solve for b and take the next whole number."
BATCH = Task(
    right=_batch,
    praise="The embeddings are paid once for a batch, a map for each picture and head.",
    hint=_KEPT,
    names=("n", "k", "v", "h"),
    draw=_draw_batch,
    mistakes=(
        Mistake(
            "the λs forgotten: k / h alone",
            lambda n, k, v, h: k // h + 1,
            "Every picture has n position lambdas and a content lambda of k·v numbers.",
            _KEPT,
        ),
        Mistake(
            "one picture too few",
            lambda n, k, v, h: _batch(n, k, v, h) - 1,
            "Put your b into both counts and compare: fewer is asked for.",
            _KEPT,
        ),
        Mistake(
            "one picture too many",
            lambda n, k, v, h: _batch(n, k, v, h) + 1,
            "Put b − 1 into both counts: it is enough.",
            _KEPT,
        ),
    ),
    examples=(Example("The paper's sizes on 32×32 pixels.", (1024, 16, 16, 4)),),
)
