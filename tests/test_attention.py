"""SelfAttention2d against an explicit loop and against torch's own attention."""

import pytest
import torch
from reference import embedding_of, picture, positions, randomise, relative_error, self_attention
from torch.nn import functional as F

from lambdalab.attention import SelfAttention2d
from lambdalab.errors import UserError


def make_attention(*shape: int, seed: int = 0, **options) -> SelfAttention2d:
    return randomise(SelfAttention2d(*shape, **options).double(), seed)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize(
    "where",
    [
        {"scope": 3},
        {"scope": 7},
        {"scope": 1},
        {"scope": None, "size": (3, 4)},
    ],
)
def test_outputs_and_gradients_equal_the_loop(where, heads):
    layer, x = make_attention(3, 8, dim_k=3, heads=heads, **where), picture(2, 3, 3, 4).requires_grad_()
    results = []
    for y in (layer(x), self_attention(x, layer)):
        results.append([y, *torch.autograd.grad((y * picture(*y.shape, seed=7)).sum(), [x, *layer.parameters()])])
    scale = max(tensor.abs().max() for tensor in results[1])
    for ours, theirs in zip(*results, strict=True):
        # With scope 1 there is one position to attend to: the gradients of q, k and E are rounding in both.
        nothing = max(ours.abs().max(), theirs.abs().max()) <= 1e-12 * scale
        assert nothing or relative_error(ours, theirs) <= 1e-10


def test_gradients_equal_finite_differences():
    layer = make_attention(2, 4, dim_k=2, heads=2, scope=3)
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (picture(1, 2, 2, 3).requires_grad_(), *weights))


def test_without_positions_it_is_torchs_attention():
    layer, x = make_attention(3, 8, dim_k=5, heads=2, scope=None, size=(3, 4)), picture(2, 3, 3, 4)
    layer.embedding.data.zero_()
    heads = [
        F.conv2d(x, projection.weight).reshape(2, 2, -1, 12).transpose(2, 3)
        for projection in (layer.to_q, layer.to_k, layer.to_v)
    ]
    expected = F.scaled_dot_product_attention(*heads).transpose(2, 3).reshape(2, 8, 3, 4)
    assert relative_error(layer(x), expected) <= 1e-10


@pytest.mark.parametrize("where", [{"scope": 3}, {"scope": 5}, {"scope": None, "size": (4, 5)}])
def test_rows_are_distributions_over_what_the_query_sees(where):
    layer = make_attention(3, 8, dim_k=3, heads=2, **where)
    attention = layer.attention(picture(2, 3, 4, 5))
    assert attention.shape == (2, 2, 20, 20)
    assert relative_error(attention.sum(dim=3), torch.ones(2, 2, 20, dtype=torch.float64)) <= 1e-12
    places = positions((4, 5))
    seen = torch.tensor([[embedding_of(layer.embedding, n, m) is not None for m in places] for n in places])
    assert (attention[:, :, seen] > 0).all() and (attention[:, :, ~seen] == 0).all()
    assert bool(seen.all()) == (where["scope"] is None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "heads must divide dim_out .*8 is not a multiple of 3"),
        ({"dim_k": 0}, "dim_k must be at least 1, got 0"),
        ({}, "scope=None with size"),
        ({"scope": 2}, "scope must be odd .*got 2"),
        ({"scope": 3, "size": (4, 4)}, r"either scope.* or .*size.*got scope=3, size=\(4, 4\)"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(options, message):
    with pytest.raises(UserError, match=message) as error:
        SelfAttention2d(8, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(8, 3, 4), (2, 7, 3, 4), (2, 8, 4, 3)])
def test_another_input_is_refused(shape):
    with pytest.raises(UserError, match=r"^expected pictures of shape \(b, 8, 3, 4\), got .*\d\)$"):
        SelfAttention2d(8, scope=None, size=(3, 4))(torch.zeros(shape))
    with pytest.raises(UserError, match=r"\(b, 9, H, W\)"):
        SelfAttention2d(9, 8, scope=3)(torch.zeros(shape))
