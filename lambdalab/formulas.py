"""What attention and lambdas multiply and store, exactly, from their shapes: the paper's table, constants kept.

Letters are the paper's, with ``v`` the depth of *one* head's values, as in ``layers``: d = h·v numbers come out for a
query. (Where the paper's table writes v/h, its v is our d.)

Counted are the multiply-adds of the products, and the numbers stored between what comes in (queries, keys, values) and
what goes out (y). Left out, for all alike: the projections that make queries, keys and values, and whatever is only as
large as they are, such as the softmax of the keys.

A whole layer or network, projections and all, is in ``cost``.

Source: Bello 2021 (arXiv 2102.08602), table 2; linear attention: Katharopoulos et al. 2020 (arXiv 2006.16236).
"""

from dataclasses import dataclass

from lambdalab.errors import UserError


@dataclass(frozen=True)
class Shape:
    """The sizes of one layer's work.

    Raises:
        UserError: if a number is not a whole number of at least 1.
    """

    n: int  # queries
    m: int  # positions of the context
    k: int  # depth of queries and keys
    v: int  # depth of one head's values
    h: int = 1  # heads
    b: int = 1  # pictures in a batch
    u: int = 1  # intra-depth, of lambdas only

    def __post_init__(self):
        for letter, value in vars(self).items():
            if not isinstance(value, int) or value < 1:
                raise UserError(f"{letter} must be a whole number of at least 1, got {value!r}")

    @property
    def d(self) -> int:
        """Channels out, of all heads together: d = h·v."""
        return self.h * self.v


@dataclass(frozen=True)
class Count:
    """What is counted of a forward pass: its work, and what it keeps until the backward pass."""

    multiply_adds: int
    numbers: int  # stored between input and output
    itemsize: int = 4  # bytes of a number: 4 for float32, 2 for bfloat16 and float16

    @property
    def bytes(self) -> int:
        """Memory of the stored numbers."""
        return self.numbers * self.itemsize


def count_attention(shape: Shape, itemsize: int = 4) -> Count:
    """y = softmax(Q Kᵀ) V with h heads: b·h·n·m·(k + v) multiply-adds; the map is b·h·n·m numbers.

    In Θ: time bnm(hk + d), space bnmh.
    """
    s = shape
    pairs = s.b * s.h * s.n * s.m
    return Count(pairs * (s.k + s.v), pairs, itemsize)


def count_linear_attention(shape: Shape, itemsize: int = 4) -> Count:
    """y_n = (φ(K)ᵀV)ᵀ φ(q_n) / (φ(q_n)·Σ_m φ(k_m)) with h heads.

    Multiply-adds: b·h·m·k·v for φ(K)ᵀV, b·h·n·k·v to apply it, b·h·n·k for the denominators. Stored: b·h·k·v, and
    b·h·k for the sum of the φ(k_m). In Θ, with n = m: time bnkd, space bkd.
    """
    s = shape
    products = s.b * s.h * (s.m * s.k * s.v + s.n * s.k * s.v + s.n * s.k)
    return Count(products, s.b * s.h * s.k * (s.v + 1), itemsize)


def count_content_lambda(shape: Shape, itemsize: int = 4) -> Count:
    """y_n = λcᵀ q_n, λc = Σ_m K̄_m V_mᵀ: b·m·u·k·v multiply-adds to make it, b·h·n·k·v to apply it; λc is b·k·v."""
    s = shape
    return Count(s.b * s.m * s.u * s.k * s.v + _apply(s), s.b * s.k * s.v, itemsize)


def count_position_lambda(shape: Shape, itemsize: int = 4) -> Count:
    """y_n = λp_nᵀ q_n, λp_n = Σ_m E_nm V_mᵀ.

    Multiply-adds: b·n·m·u·k·v for the λp_n, b·h·n·k·v to apply them. Stored: n·m·u·k embeddings, one set for the whole
    batch, and b·n·k·v for the λp_n. In Θ: time bnmkv, space knm + bnkv.
    """
    s = shape
    return Count(
        s.b * s.n * s.m * s.u * s.k * s.v + _apply(s),
        s.n * s.m * s.u * s.k + s.b * s.n * s.k * s.v,
        itemsize,
    )


def count_lambda(shape: Shape, itemsize: int = 4) -> Count:
    """y_n = (λc + λp_n)ᵀ q_n: both lambdas made, added, and applied once."""
    content, position = count_content_lambda(shape), count_position_lambda(shape)
    return Count(
        content.multiply_adds + position.multiply_adds - _apply(shape),
        content.numbers + position.numbers,
        itemsize,
    )


def count_lambda_convolution(shape: Shape, itemsize: int = 4) -> Count:
    """y_n = (λc + λp_n)ᵀ q_n where λp_n sees a window of r offsets only, as a convolution.

    ``shape.m`` is r, the offsets of the window (23² for scope 23); the content lambda sees all n positions. Nothing is
    spread over pairs: the table of embeddings, u·k·r numbers, takes the place of the n·m·u·k. Positions of the window
    beyond the picture's edge count: the convolution multiplies by their zeros.
    """
    s = shape
    return Count(
        s.b * s.n * (s.m + 1) * s.u * s.k * s.v + _apply(s),
        s.m * s.u * s.k + s.b * s.n * s.k * s.v + s.b * s.k * s.v,
        itemsize,
    )


def _apply(s: Shape) -> int:
    """Multiply-adds of y_n = λ_nᵀ q_n for all heads, whether λ is one for all n or not."""
    return s.b * s.h * s.n * s.k * s.v
