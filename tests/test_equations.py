"""The pure functions of lambdalab.equations against explicit loops: contexts, masks, sequences, pictures."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import content_lambda as content_loop
from reference import embedding_of, positions, relative_error
from reference import position_lambda as position_loop

from lambdalab.equations import apply_lambda, content_lambda, position_lambda, relative_embeddings
from lambdalab.errors import UserError

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)


def draw(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def random_mask(seed: int, n: int, m: int) -> torch.Tensor:
    """Each query sees about half of the context, one position at least."""
    mask = torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[torch.arange(n), torch.arange(n) % m] = True
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dim_u", [1, 2, 4])
def test_lambdas_equal_the_loops(dim_u, masked):
    keys, values, embeddings = draw(dim_u, (2, 5, dim_u, 3), (2, 5, dim_u, 4), (6, 5, dim_u, 3))
    mask = random_mask(dim_u, 6, 5) if masked else None
    content, position = content_lambda(keys, values, mask), position_lambda(embeddings, values, mask)
    assert relative_error(content, content_loop(keys, values, mask)) <= 1e-10
    assert relative_error(position, position_loop(embeddings, values, mask)) <= 1e-10


@pytest.mark.parametrize("shared", [True, False])
def test_apply_lambda_equals_the_loop(shared):
    queries, lambdas = draw(0, (2, 3, 5, 4), (2, 4, 6) if shared else (2, 5, 4, 6))
    expected = torch.zeros(2, 3, 5, 6, dtype=torch.float64)
    for b, h, n, k, v in positions((2, 3, 5, 4, 6)):
        expected[b, h, n, v] += queries[b, h, n, k] * (lambdas[b, k, v] if shared else lambdas[b, n, k, v])
    assert relative_error(apply_lambda(queries, lambdas), expected) <= 1e-10


@pytest.mark.parametrize(
    ("window", "size"),
    [
        ((3,), (7,)),
        ((9,), (3,)),
        ((13,), (7,)),
        ((3, 3), (4, 5)),
        ((9, 9), (2, 3)),
        ((3, 5), (5, 3)),
        ((1, 1), (2, 2)),
    ],
)
def test_relative_embeddings_are_the_table_at_m_minus_n(window, size):
    (table,) = draw(1, (3, 2, *window))
    pairs = relative_embeddings(table, size)
    places = positions(size)
    assert pairs.shape == (len(places), len(places), 2, 3)
    for i, n in enumerate(places):
        for j, m in enumerate(places):
            entry = embedding_of(table, n, m)
            assert torch.equal(pairs[i, j], torch.zeros_like(pairs[i, j]) if entry is None else entry.T)


def sequence(seed: int, length: int = 6):
    """Queries, keys, values and relative embeddings of a sequence that looks back only."""
    queries, keys, values, table = draw(seed, (1, 2, length, 3), (1, length, 3), (1, length, 4), (3, 1, 2 * length - 1))
    embeddings = relative_embeddings(table, (length,)).squeeze(2)
    return queries, keys, values, embeddings, torch.ones(length, length).tril().bool()


def outputs(queries, keys, values, embeddings, mask):
    content, position = content_lambda(keys, values, mask), position_lambda(embeddings, values, mask)
    return apply_lambda(queries, content) + apply_lambda(queries, position)


@few
@given(seed=seeds, moment=st.integers(0, 4))
def test_a_causal_output_does_not_depend_on_what_comes_later(seed, moment):
    queries, keys, values, embeddings, causal = sequence(seed)
    before = outputs(queries, keys, values, embeddings, causal)
    keys[:, moment + 1 :], values[:, moment + 1 :] = draw(seed + 1, (1, 5 - moment, 3), (1, 5 - moment, 4))
    after = outputs(queries, keys, values, embeddings, causal)
    assert torch.equal(before[:, :, : moment + 1], after[:, :, : moment + 1])
    assert not torch.allclose(before[:, :, moment + 1 :], after[:, :, moment + 1 :])


def test_the_first_moment_of_a_causal_sequence_sees_itself_only():
    queries, keys, values, embeddings, causal = sequence(3)
    expected = (queries[0, :, 0] * (1 + embeddings[0, 0])).sum(dim=1, keepdim=True) * values[0, 0]
    assert relative_error(outputs(queries, keys, values, embeddings, causal)[0, :, 0], expected) <= 1e-10


@pytest.mark.parametrize("dim_u", [(), (2,)])
def test_a_mask_that_hides_nothing_changes_nothing(dim_u):
    keys, values, embeddings = draw(5, (2, 5, *dim_u, 3), (2, 5, *dim_u, 4), (6, 5, *dim_u, 3))
    everything = torch.ones(6, 5, dtype=torch.bool)
    content = content_lambda(keys, values).unsqueeze(1).expand(-1, 6, -1, -1)
    assert relative_error(content_lambda(keys, values, everything), content) <= 1e-10
    assert torch.equal(position_lambda(embeddings, values, everything), position_lambda(embeddings, values))


def test_a_query_that_sees_nothing_is_refused():
    keys, values = draw(0, (1, 4, 3), (1, 4, 2))
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1] = False
    with pytest.raises(UserError, match=r"^query 1 sees no context; .*mask.*$"):
        content_lambda(keys, values, mask)


@few
@given(seed=seeds, masked=st.booleans())
def test_intra_depth_one_equals_none(seed, masked):
    keys, values, embeddings = draw(seed, (2, 5, 3), (2, 5, 4), (6, 5, 3))
    mask = random_mask(seed, 6, 5) if masked else None
    deep = [tensor.unsqueeze(-2) for tensor in (keys, values, embeddings)]
    assert relative_error(content_lambda(*deep[:2], mask), content_lambda(keys, values, mask)) <= 1e-10
    assert relative_error(position_lambda(deep[2], deep[1], mask), position_lambda(embeddings, values, mask)) <= 1e-10


@few
@given(seed=seeds, masked=st.booleans(), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_lambdas_are_linear_in_the_values_and_outputs_in_the_queries(seed, masked, a, b):
    keys, embeddings, one, two = draw(seed, (2, 5, 2, 3), (6, 5, 2, 3), (2, 5, 2, 4), (2, 5, 2, 4))
    mask = random_mask(seed, 6, 5) if masked else None
    for summary in (
        lambda values: content_lambda(keys, values, mask),
        lambda values: position_lambda(embeddings, values, mask),
    ):
        torch.testing.assert_close(
            summary(a * one + b * two), a * summary(one) + b * summary(two), rtol=1e-10, atol=1e-10
        )
    p, q, lambdas = draw(seed, (2, 4, 6, 3), (2, 4, 6, 3), (2, 6, 3, 4))
    both = a * apply_lambda(p, lambdas) + b * apply_lambda(q, lambdas)
    torch.testing.assert_close(apply_lambda(a * p + b * q, lambdas), both, rtol=1e-10, atol=1e-10)


@few
@given(seed=seeds, order=st.permutations(range(6)))
def test_the_context_has_an_order_for_the_position_lambda_only(seed, order):
    keys, values, embeddings = draw(seed, (2, 6, 2, 3), (2, 6, 2, 4), (5, 6, 2, 3))
    assert relative_error(content_lambda(keys[:, order], values[:, order]), content_lambda(keys, values)) <= 1e-10
    moved = relative_error(position_lambda(embeddings, values[:, order]), position_lambda(embeddings, values))
    assert (moved > 1e-6) == (order != list(range(6)))
    together = position_lambda(embeddings[:, order], values[:, order])
    assert relative_error(together, position_lambda(embeddings, values)) <= 1e-10


def test_gradients_of_the_masked_equations():
    keys, values, embeddings, queries = draw(2, (1, 4, 2, 2), (1, 4, 2, 2), (3, 4, 2, 2), (1, 2, 3, 2))
    mask = random_mask(2, 3, 4)
    inputs = [tensor.requires_grad_() for tensor in (queries, keys, values, embeddings)]
    assert torch.autograd.gradcheck(lambda q, k, v, e: outputs(q, k, v, e, mask), inputs)
